/**
 * Who may wait for a file system, and how many at a time.
 *
 * What is asked of a user's file (open, stat, lock, fsync, close) may hang for as long as its file system does: a dead
 * server, a frozen disk. It is asked on threads of libuv's pool, which the daemon makes large; each file system has a lane
 * of few, so that one that hangs takes its own lane and neither the pool nor another's.
 *
 * Which file system a name is on can't be asked, since the answer may hang. The table of mounts tells it from the name, and
 * costs nothing to read; a symbolic link may lie, and takes a place in the lane that it is in.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { readFileSync } from 'node:fs';
import { LoopError } from '../errno.js';
import { POOL_THREADS } from './pool-size.js';

/** Operations of one file system at a time, unless told otherwise; each takes two threads at most. */
export const A_LANE = 4;
/** As many as the pool has threads for. */
export const MOST_A_LANE = 32;
/** What the pool is for besides: the daemon's own files, names of hosts. */
const KEPT_THREADS = 16;
const THREADS_OF_EACH = 2;
const LIBUV_DEFAULT = 4;
/** So long an operation waits for its turn, milliseconds. */
const FULL_AFTER_MS = 5000;

/** Eight file systems may hang and fill their lanes, where the program saw to the size of the pool. */
function mostOperations(): number {
  const threads = Number(process.env.UV_THREADPOOL_SIZE) || LIBUV_DEFAULT;
  return Math.max(A_LANE, Math.floor((Math.min(threads, POOL_THREADS) - KEPT_THREADS) / THREADS_OF_EACH));
}

interface Turn {
  begin(): void;
}

/** A turn that somebody has. */
interface Held {
  isOver: boolean;
}
const held = new AsyncLocalStorage<Held>();

/** Operations on the files of one file system: those under way, and those that wait for their turn. */
export class FileLane {
  static readonly #lanes = new Map<string, FileLane>();
  static readonly #most = mostOperations();
  static #aLane = A_LANE;
  static #all = 0;
  #underWay = 0;
  #since = 0;
  /** When an operation ended last, `performance.now()`. */
  static #lastEndOfAll = 0;
  #lastEnd = 0;
  readonly #turns = new Set<Turn>();

  private constructor(
    /** Where the file system is mounted. */
    readonly mount: string,
  ) {}

  /** The lane of an absolute path. */
  static of(path: string): FileLane {
    const mount = mountOf(path, mountPoints());
    let lane = FileLane.#lanes.get(mount);
    if (lane === undefined) {
      lane = new FileLane(mount);
      FileLane.#lanes.set(mount, lane);
    }
    return lane;
  }

  /** Sets how many operations of one file system there may be at a time: 1 to `MOST_A_LANE`. */
  static limit(operations: number): void {
    FileLane.#aLane = operations;
  }

  /** Where something has been under way for so many milliseconds, and how much of it. */
  static hanging(milliseconds: number): { readonly mount: string; readonly operations: number }[] {
    const before = performance.now() - milliseconds;
    return [...FileLane.#lanes.values()]
      .filter((lane) => lane.#underWay > 0 && lane.#since <= before)
      .map((lane) => ({ mount: lane.mount, operations: lane.#underWay }));
  }

  /**
   * Carries out an operation in its turn. Throws EAGAIN when no turn comes, since what has one hangs; a lane that moves is
   * waited for, however many wait.
   */
  async run<T>(operation: () => Promise<T>): Promise<T> {
    this.#expectNoTurn();
    let turn: Turn | undefined;
    let timer: NodeJS.Timeout | undefined;
    const began = await new Promise<boolean>((resolve) => {
      const look = (): void => {
        const moved = this.#isFull ? this.#lastEnd : FileLane.#lastEndOfAll;
        const idle = performance.now() - Math.max(since, moved);
        if (idle >= FULL_AFTER_MS) resolve(false);
        else timer = setTimeout(look, FULL_AFTER_MS - idle);
      };
      const since = performance.now();
      turn = this.#take(() => resolve(true));
      timer = setTimeout(look, FULL_AFTER_MS);
    });
    clearTimeout(timer);
    if (!began && turn !== undefined && this.#turns.delete(turn)) throw this.#full();
    return this.#carryOut(operation);
  }

  /** The same for what must be done sometime, however long its turn takes to come. */
  async runLater<T>(operation: () => Promise<T>): Promise<T> {
    this.#expectNoTurn();
    await new Promise<void>((resolve) => void this.#take(resolve));
    return this.#carryOut(operation);
  }

  /** `begin` is called when its turn has come, perhaps at once; it counts as under way from then on. */
  #take(begin: () => void): Turn {
    const turn = { begin };
    this.#turns.add(turn);
    this.#next();
    return turn;
  }

  #next(): void {
    for (const turn of this.#turns) {
      if (this.#isFull || FileLane.#all >= FileLane.#most) return;
      this.#turns.delete(turn);
      if (this.#underWay++ === 0) this.#since = performance.now();
      FileLane.#all++;
      turn.begin();
    }
  }

  async #carryOut<T>(operation: () => Promise<T>): Promise<T> {
    const mine: Held = { isOver: false };
    try {
      return await held.run(mine, operation);
    } finally {
      mine.isOver = true;
      const wasFull = FileLane.#all >= FileLane.#most;
      this.#underWay--;
      this.#since = this.#lastEnd = FileLane.#lastEndOfAll = performance.now();
      FileLane.#all--;
      this.#next();
      if (wasFull) for (const lane of FileLane.#lanes.values()) lane.#next();
    }
  }

  /** As many as the lane takes would wait for each other: whoever has a turn asks for no other. A bug of ours. */
  #expectNoTurn(): void {
    if (held.getStore()?.isOver === false)
      throw new Error(`an operation on ${this.mount} was begun within another one`);
  }

  #full(): LoopError {
    const [count, where, limit] = this.#isFull
      ? [FileLane.#aLane, `on ${this.mount}`, `--file-operations ${FileLane.#aLane}`]
      : [FileLane.#most, 'on several file systems', `${FileLane.#most} in all, which no option changes`];
    return new LoopError(
      'EAGAIN',
      `${count} operations on files ${where} have not come to an end for ${FULL_AFTER_MS / 1000} s, and no more are begun (${limit})`,
    );
  }

  get #isFull(): boolean {
    return this.#underWay >= FileLane.#aLane;
  }
}

const MOUNTINFO = '/proc/self/mountinfo';
/** The table is read anew after so long, milliseconds. */
const FRESH_MS = 500;
let known: { readonly points: readonly string[]; readonly at: number } | undefined;

/** Reading it waits for no file system. */
function mountPoints(): readonly string[] {
  const now = performance.now();
  if (known === undefined || now - known.at > FRESH_MS) {
    let text = '';
    try {
      text = readFileSync(MOUNTINFO, 'utf8');
    } catch {
      // Without /proc all is one file system.
    }
    known = { points: mountPointsIn(text), at: now };
  }
  return known.points;
}

/** The fifth field, in which blanks, tabs, newlines and backslashes are three octal digits (proc_pid_mountinfo(5)). */
export const mountPointsIn = (mountinfo: string): string[] =>
  mountinfo.split('\n').flatMap((line) => {
    const point = line.split(' ', 5)[4];
    if (point === undefined) return [];
    return [
      point.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8))),
    ];
  });

/** The longest mount point that a path is below. */
export function mountOf(path: string, points: readonly string[]): string {
  let found = '/';
  for (const point of points) {
    const isAbove = path === point || path.startsWith(point.endsWith('/') ? point : `${point}/`);
    if (isAbove && point.length > found.length) found = point;
  }
  return found;
}
