/** Programs the bench starts. What it starts it stops itself, by process id. */
import { type ChildProcess, spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';

/** Administrators' programs are measured too; a user's PATH often leaves them out. */
const env = { ...process.env, PATH: `${process.env.PATH ?? ''}:/usr/local/sbin:/usr/sbin:/sbin` };

export interface Captured {
  readonly stdout: string;
  readonly stderr: string;
  /** Exit status; undefined after a signal. */
  readonly status: number | undefined;
}

export interface CaptureOptions {
  /** Kills the program after this many milliseconds. */
  readonly timeout: number;
  readonly signal?: AbortSignal;
}

/** Runs a program to its end. Rejects only if it cannot be started, or was aborted. */
export const capture = (
  program: string,
  args: readonly string[],
  options: CaptureOptions,
): Promise<Captured> =>
  new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: options.timeout,
      killSignal: 'SIGKILL',
      ...(options.signal ? { signal: options.signal } : {}),
    });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    child.on('error', reject);
    child.on('close', (code) => resolve({ stdout, stderr, status: code ?? undefined }));
  });

/** Like `capture`, and a status other than 0 is an error that quotes the program's last words. */
export const run = async (
  program: string,
  args: readonly string[],
  options: CaptureOptions,
): Promise<string> => {
  const { stdout, stderr, status } = await capture(program, args, options);
  if (status === undefined)
    throw new Error(`${program} was killed, after ${options.timeout / 1000} s at the latest`);
  if (status !== 0) throw new Error(`${program} ended with status ${status}: ${lastLine(stderr || stdout)}`);
  return stdout;
};

const lastLine = (text: string): string => text.trim().split('\n').at(-1) ?? '';

/** The first line of what the program says about its version; undefined where it is not installed. */
export const versionLine = async (program: string, args: readonly string[]): Promise<string | undefined> => {
  try {
    const { stdout, stderr } = await capture(program, args, { timeout: 10_000 });
    return `${stdout}\n${stderr}`.split('\n').find((line) => line.trim() !== '');
  } catch {
    return undefined;
  }
};

/** A server in the foreground. */
export class Daemon {
  private words = '';

  private constructor(private readonly child: ChildProcess) {
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.words = (this.words + text).slice(-4096);
      });
    }
  }

  static start(program: string, args: readonly string[]): Promise<Daemon> {
    return new Promise((resolve, reject) => {
      const child = spawn(program, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
      child.once('error', reject);
      child.once('spawn', () => resolve(new Daemon(child)));
    });
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  get running(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  /** The end of what it printed. */
  get lastWords(): string {
    return lastLine(this.words);
  }

  async stop(): Promise<void> {
    await stopProcess(this.pid, () => this.running);
  }
}

/** SIGTERM, and SIGKILL for one that is still running after 5 seconds. */
export const stopProcess = async (pid: number, running: () => boolean): Promise<void> => {
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    if (!running()) return;
    process.kill(pid, signal);
    for (let waited = 0; running() && waited < 5_000; waited += 20) await sleep(20);
  }
};

/** True while a process with this id exists. */
export const alive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};
