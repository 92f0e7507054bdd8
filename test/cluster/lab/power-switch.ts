/** What the fence agent asks: switches nodes off, and answers when that is done. It can be out of order, or lie. */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ClusterNode } from './node.js';

/** lies: says that it is done, and leaves the node as it is. */
export type SwitchMode = 'works' | 'broken' | 'lies';

const LOOK_MS = 50;

export class PowerSwitch implements Disposable {
  mode: SwitchMode = 'works';
  /** Nodes that were fenced, in order. */
  readonly fenced: string[] = [];
  readonly #timer: NodeJS.Timeout;
  #isLooking = false;

  constructor(
    readonly directory: string,
    readonly nodes: ReadonlyMap<string, ClusterNode>,
  ) {
    mkdirSync(directory, { recursive: true });
    this.#timer = setInterval(() => void this.#look(), LOOK_MS);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  async #look(): Promise<void> {
    if (this.#isLooking) return;
    this.#isLooking = true;
    try {
      for (const name of readdirSync(this.directory).filter((entry) => entry.startsWith('ask.')))
        await this.#answer(name.slice('ask.'.length));
    } finally {
      this.#isLooking = false;
    }
  }

  async #answer(id: string): Promise<void> {
    const file = (kind: string): string => join(this.directory, `${kind}.${id}`);
    const question = readIfThere(file('ask'));
    if (question === undefined) return; // it has given up waiting
    const [verb, name] = question.trim().split(' ');
    const answer = await this.#do(verb, this.nodes.get(name ?? '')).catch((error: Error) => error.message);
    rmSync(file('ask'), { force: true });
    writeFileSync(file('new'), `${answer}\n`);
    renameSync(file('new'), file('answer'));
  }

  async #do(verb: string | undefined, node: ClusterNode | undefined): Promise<string> {
    if (verb === 'ping') return 'ok';
    if (node === undefined) return 'no such node';
    if (verb === 'status') return node.isOn ? 'on' : 'off';
    if (verb !== 'off' || this.mode === 'broken') return 'fail';
    this.fenced.push(node.name);
    if (this.mode === 'works') await node.powerOff();
    return 'ok';
  }
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return undefined;
  }
}
