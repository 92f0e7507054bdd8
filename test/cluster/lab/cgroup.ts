/**
 * A group of processes (cgroup v2) that ends, stops and goes on as one: the power switch of a node. No process number
 * is ever trusted: they wrap within minutes, and a dead node's may be another's.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { until } from '../../helpers/until.js';

/** Where cgroup v2 is mounted, or undefined. */
export function cgroupRoot(): string | undefined {
  const mounts = readFileSync('/proc/self/mounts', 'utf8').split('\n');
  return mounts.map((line) => line.split(' ')).find(([, , type]) => type === 'cgroup2')?.[1];
}

export class Cgroup {
  constructor(readonly path: string) {
    mkdirSync(path, { recursive: true });
  }

  /** A group inside. */
  child(name: string): Cgroup {
    return new Cgroup(join(this.path, name));
  }

  /** The words that run a program in it: `sh -c ... PROGRAM ARGS`. */
  wrap(program: string, args: readonly string[]): string[] {
    return ['-c', 'echo $$ >"$0/cgroup.procs" && exec "$@"', this.path, program, ...args];
  }

  has(pid: number): boolean {
    return this.processes().includes(pid);
  }

  processes(): number[] {
    return readFileSync(join(this.path, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean).map(Number);
  }

  get isPopulated(): boolean {
    return this.#events().includes('populated 1');
  }

  /** Everything inside is killed, frozen or not, and is gone when this returns. */
  async kill(): Promise<void> {
    writeFileSync(join(this.path, 'cgroup.kill'), '1');
    writeFileSync(join(this.path, 'cgroup.freeze'), '0');
    await until(`${this.path} is empty`, async () => (this.isPopulated ? undefined : true));
  }

  async freeze(): Promise<void> {
    writeFileSync(join(this.path, 'cgroup.freeze'), '1');
    while (!this.#events().includes('frozen 1')) await sleep(5);
  }

  thaw(): void {
    writeFileSync(join(this.path, 'cgroup.freeze'), '0');
  }

  /** Kills what is left, and removes the group with those inside. */
  async remove(): Promise<void> {
    if (!existsSync(this.path)) return;
    await this.kill();
    for (const entry of readdirSync(this.path, { withFileTypes: true }))
      if (entry.isDirectory()) rmdirSync(join(this.path, entry.name));
    rmdirSync(this.path);
  }

  #events(): string {
    return readFileSync(join(this.path, 'cgroup.events'), 'utf8');
  }
}
