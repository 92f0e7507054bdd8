/**
 * The one way tests run programs: every child has a process group of its own, a deadline, and captured output,
 * and none outlives the test process, however that ends.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { findTool } from './tools.js';

export interface StartOptions {
  readonly cwd?: string;
  /** Added to this process's environment; `undefined` removes a variable. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Written to the program's standard input, which is then closed. */
  readonly input?: string | Buffer;
  /** Called with every piece of standard output and error, for programs whose progress a person watches. */
  readonly onOutput?: (text: string) => void;
}

export interface RunOptions extends StartOptions {
  /** Milliseconds before the program and all its children are killed; 60 s unless told. A hang limit, no measure. */
  readonly timeoutMs?: number;
}

export interface Ended {
  /** Exit status, or null when a signal ended the program. */
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly timedOut: boolean;
}

/** Process groups that still run; whatever ends this process ends them. */
const live = new Set<number>();

function killGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

function killEverything(): void {
  for (const pid of live) killGroup(pid, 'SIGKILL');
}

let guarded = false;
function guardAgainstLeftovers(): void {
  if (guarded) return;
  guarded = true;
  process.once('exit', killEverything);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      killEverything();
      process.kill(process.pid, signal);
    });
  }
}

/** A program that was started and may still run. Disposing of it kills its whole process group. */
export class RunningProcess implements AsyncDisposable {
  readonly pid: number;
  readonly ended: Promise<Ended>;
  #stdout: Buffer[] = [];
  #stderr: Buffer[] = [];
  #isOver = false;
  #timedOut = false;
  readonly #listeners = new Set<() => void>();

  constructor(
    readonly program: string,
    child: ChildProcess,
    options: StartOptions,
  ) {
    this.pid = child.pid ?? 0;
    if (this.pid > 0) live.add(this.pid);
    const collect = (into: Buffer[]) => (chunk: Buffer) => {
      into.push(chunk);
      options.onOutput?.(chunk.toString());
      for (const listener of this.#listeners) listener();
    };
    child.stderr?.on('data', collect(this.#stderr));
    child.stdout?.on('data', collect(this.#stdout));
    child.stdin?.on('error', () => {
      /* A program may end without reading its input: its exit status tells. */
    });
    child.stdin?.end(options.input);
    this.ended = new Promise((resolve, reject) => {
      child.once('error', (error) => {
        this.#isOver = true;
        live.delete(this.pid);
        reject(error);
      });
      child.once('exit', () => {
        // The leader is gone; what it left behind in its group would keep our pipes open.
        if (this.pid > 0) killGroup(this.pid, 'SIGKILL');
      });
      child.once('close', (status, signal) => {
        this.#isOver = true;
        live.delete(this.pid);
        for (const listener of this.#listeners) listener();
        resolve({ status, signal, stdout: this.stdout, stderr: this.stderr, timedOut: this.#timedOut });
      });
    });
    this.ended.catch(() => {
      /* Whoever awaits `ended` sees it; a start failure must not end the test process by itself. */
    });
  }

  /** What it has written so far. */
  get stdout(): string {
    return Buffer.concat(this.#stdout).toString();
  }

  get stderr(): string {
    return Buffer.concat(this.#stderr).toString();
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Sends a signal to the program alone. */
  signal(signal: NodeJS.Signals): void {
    if (!this.#isOver) process.kill(this.pid, signal);
  }

  /** Sends a signal to the program and all its children. */
  signalGroup(signal: NodeJS.Signals): void {
    if (!this.#isOver && this.pid > 0) killGroup(this.pid, signal);
  }

  /** Waits for the end; after `timeoutMs` the process group is killed and the result says `timedOut`. */
  async wait(timeoutMs: number): Promise<Ended> {
    const timer = setTimeout(() => {
      this.#timedOut = true;
      this.signalGroup('SIGKILL');
    }, timeoutMs);
    try {
      return await this.ended;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Waits until what it wrote (output, then errors) matches; rejects when it ends first or the time is over. */
  waitForOutput(pattern: RegExp, timeoutMs = 30_000): Promise<RegExpMatchArray> {
    return new Promise((resolve, reject) => {
      const finish = (settle: () => void) => {
        clearTimeout(timer);
        this.#listeners.delete(look);
        settle();
      };
      const complain = (why: string) =>
        reject(new Error(`${this.program} ${why} before it wrote ${pattern}:\n${this.stdout}${this.stderr}`));
      const look = () => {
        const match = `${this.stdout}\n${this.stderr}`.match(pattern);
        if (match !== null) finish(() => resolve(match));
        else if (this.#isOver) finish(() => complain('ended'));
      };
      const timer = setTimeout(() => finish(() => complain('took too long')), timeoutMs);
      this.#listeners.add(look);
      look();
    });
  }

  /** Kills the process group if it still runs, and waits until it is gone. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.signalGroup('SIGKILL');
    await this.ended.catch(() => undefined);
  }
}

/** Has the kernel kill the program when we are gone, also by SIGKILL, which no handler of ours outlives. */
const DIE_WITH_US = ['--pdeathsig', 'KILL', '--'];
const setpriv = findTool('setpriv');

/** Starts a program in a process group of its own; use with `await using`. */
export function start(program: string, args: readonly string[], options: StartOptions = {}): RunningProcess {
  guardAgainstLeftovers();
  const env = Object.fromEntries(
    Object.entries({ ...process.env, ...options.env }).filter(([, value]) => value !== undefined),
  );
  const [file, words] =
    setpriv === undefined || findTool(program) === undefined
      ? [program, args]
      : [setpriv, [...DIE_WITH_US, program, ...args]];
  const child = spawn(file, words, {
    env,
    detached: true,
    stdio: ['pipe', 'pipe', 'pipe'],
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  return new RunningProcess(program, child, options);
}

/** Runs a program to its end, whatever its exit status. */
export async function run(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<Ended> {
  await using running = start(program, args, options);
  return await running.wait(options.timeoutMs ?? 60_000);
}

/** Runs a program that must succeed; throws with everything it said otherwise. Returns its standard output. */
export async function runOk(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  const ended = await run(program, args, options);
  if (ended.status !== 0) throw new Error(describeFailure(program, args, ended));
  return ended.stdout;
}

/** One paragraph on how a program failed. */
export function describeFailure(program: string, args: readonly string[], ended: Ended): string {
  const how = ended.timedOut
    ? 'took too long and was killed'
    : ended.signal !== null
      ? `was ended by ${ended.signal}`
      : `exited with ${ended.status}`;
  return `${program} ${args.join(' ')} ${how}\n${ended.stdout}${ended.stderr}`;
}
