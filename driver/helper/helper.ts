/**
 * A process of the daemon's for calls that may wait: for our own replies (the open of a device that we serve), for a
 * file system that hangs, for /proc as a whole. None of that may happen on the main thread, in libuv's pool or on any
 * other thread of the daemon, which could not even end while one of them waits in the kernel. The helper may: it is
 * given up when it is late, and the next question starts another.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { LoopError } from '../errno.js';
import { requireMemory, requireTasks } from '../group-limits.js';
import { NO_INSPECTOR } from './inspector-address.js';
import type { Answer, Question } from './messages.js';
import type { Tasks } from './tasks.js';

const PROGRAM = fileURLToPath(new URL('./helper-process.js', import.meta.url));
/** Questions that wait at the same time, each in a thread of the helper. */
const THREADS = 32;
/** Its other threads, and the fewest that it does with. */
const ENGINE_TASKS = 8;
const LEAST_TASKS = 12;
/** With so many questions that nobody waits for any more, a helper is given up. */
const MAX_STUCK = 16;
/** A helper that is not asked anything ends after this, milliseconds. */
const IDLE_MS = 60_000;
/** Until it can be asked: a program starts, on a machine that may be busy, milliseconds. */
const START_MS = 60_000;

interface Waiting {
  /** Counts from now on: the helper has the question. */
  readonly startClock: () => void;
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: LoopError) => void;
}

/** One process, from its start until it is given up. */
class Helper {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, Waiting>();
  /** Asked, not answered, and not waited for any more. */
  readonly #stuck = new Set<number>();
  #idle: NodeJS.Timeout | undefined;
  readonly #start: NodeJS.Timeout;
  #isReady = false;
  isOver = false;

  /** `threads`: of its pool. */
  constructor(threads: number) {
    this.#child = spawn(process.execPath, [NO_INSPECTOR, PROGRAM], {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      serialization: 'advanced',
      // A signal to the daemon's group is not for it: it is needed until the daemon has ended.
      detached: true,
      env: { ...process.env, UV_THREADPOOL_SIZE: String(threads) },
    });
    this.#child.on('message', (answer: Answer) => this.#hear(answer));
    this.#child.once('error', (error) => this.#end(`it could not be started: ${error.message}`));
    // Where memory runs out it is the first to be killed.
    this.#child.once('exit', (_, signal) =>
      this.#end(signal === 'SIGKILL' ? 'it was killed, as where memory runs out' : 'it ended'),
    );
    this.#start = setTimeout(() => this.#end('it did not start'), START_MS).unref();
    this.#rest();
  }

  ask(question: Question, timeoutMs: number): Promise<unknown> {
    const { id, task } = question;
    clearTimeout(this.#idle);
    this.#child.ref();
    this.#child.channel?.ref();
    return new Promise((resolve, reject) => {
      let timer: NodeJS.Timeout | undefined;
      const startClock = (): void => {
        timer = setTimeout(() => this.#late(id, task), timeoutMs);
      };
      const settle =
        <T>(how: (value: T) => void) =>
        (value: T): void => {
          clearTimeout(timer);
          how(value);
        };
      this.#waiting.set(id, { startClock, resolve: settle(resolve), reject: settle(reject) });
      if (this.#isReady) startClock();
      this.#child.send(question, (error) => {
        if (error !== null) this.#end(`it could not be asked: ${error.message}`);
      });
    });
  }

  #hear(answer: Answer): void {
    if (answer === 'ready') {
      clearTimeout(this.#start);
      this.#isReady = true;
      for (const { startClock } of this.#waiting.values()) startClock();
      return;
    }
    this.#stuck.delete(answer.id);
    const waiting = this.#waiting.get(answer.id);
    this.#waiting.delete(answer.id);
    if ('result' in answer) waiting?.resolve(answer.result);
    else waiting?.reject(new LoopError(answer.errno, answer.message));
    if (this.#waiting.size === 0) this.#rest();
  }

  #late(id: number, task: string): void {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    this.#stuck.add(id);
    waiting?.reject(new LoopError('ETIMEDOUT', `the helper process did not answer in time (${task})`));
    if (this.#stuck.size >= MAX_STUCK) this.#end('too much of what it was asked waits in the kernel');
    else if (this.#waiting.size === 0) this.#rest();
  }

  /** Nobody waits: neither does the daemon's end. */
  #rest(): void {
    this.#child.unref();
    this.#child.channel?.unref();
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => this.#end('it had nothing to do'), IDLE_MS).unref();
  }

  #end(why: string): void {
    if (this.isOver) return;
    this.isOver = true;
    clearTimeout(this.#idle);
    clearTimeout(this.#start);
    this.#child.kill('SIGKILL');
    this.#child.unref();
    if (this.#child.connected) this.#child.disconnect();
    for (const { reject } of this.#waiting.values()) {
      reject(new LoopError('EIO', `the helper process did not answer: ${why}`));
    }
    this.#waiting.clear();
  }
}

let helper: Helper | undefined;
let lastId = 0;

/** What a helper takes, bytes. */
const HELPER_BYTES = 40 << 20;

/** Starts the helper ahead of its first question. Idempotent. Throws ENOMEM or EAGAIN where the control group has no room for it. */
export function startHelper(): void {
  if (helper !== undefined && !helper.isOver) return;
  requireMemory(HELPER_BYTES, 'The helper process');
  const room = requireTasks(LEAST_TASKS, 'The helper process');
  helper = new Helper(Math.min(THREADS, room - ENGINE_TASKS));
}

/**
 * Has the helper carry out a task (driver/helper/tasks.ts). Rejects with the task's LoopError; with ETIMEDOUT after
 * `timeoutMs`, in which the start of a helper does not count, whereupon the task may still be done at any time; with EIO
 * when the helper has died, with ENOMEM or EAGAIN where there is no room for one.
 */
export async function askHelper<K extends keyof Tasks>(
  task: K,
  argument: Parameters<Tasks[K]>[0],
  timeoutMs: number,
): Promise<Awaited<ReturnType<Tasks[K]>>> {
  startHelper();
  const answer = await (helper as Helper).ask({ id: ++lastId, task, argument }, timeoutMs);
  return answer as Awaited<ReturnType<Tasks[K]>>;
}
