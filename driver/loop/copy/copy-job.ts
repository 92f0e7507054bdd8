import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { type ErrnoName, errnoName, LoopError } from '../../errno.js';
import type { CopierData } from '../../store/copier.js';
import { COPIER } from '../../store/copier-url.js';
import type { MirrorDescription } from '../../store/description.js';
import { MirrorShared } from '../../store/mirror-store.js';

/** What became of a copy, or is about to. */
export interface CopyStatus {
  readonly kind: 'move' | 'flatten' | 'commit';
  /** Where it goes. */
  readonly file: string;
  readonly state: 'running' | 'done' | 'failed' | 'cancelled';
  /** Bytes that were looked at, and that there are. */
  readonly doneBytes: number;
  readonly totalBytes: number;
  /** Bytes a second at most; 0: no limit. */
  readonly rate: number;
  /** Of one that failed. */
  readonly errno: ErrnoName | null;
  readonly message: string | null;
  /** How long requests waited when the files were swapped, milliseconds; null: not yet. */
  readonly waitedMs: number | null;
}

/** Float64 numbers of `CopierData.progress`. */
const DONE = 0;
const RATE = 1;

export interface CopyPlan {
  readonly kind: CopyStatus['kind'];
  readonly mirror: MirrorDescription;
  /** Bytes to be looked at. */
  readonly size: number;
  /** Where it goes, by the name that it has now. */
  readonly file: () => string;
  /** What is copied, for people. */
  readonly source: string;
  /** Bytes a second at most; 0: no limit. */
  readonly rate: number;
}

/** A copy that is under way, seen from the control side: the thread that carries it out. */
export class CopyJob {
  readonly #shared: MirrorShared;
  readonly #numbers = new Float64Array(new SharedArrayBuffer(16));
  #worker: Worker | undefined;
  #ended: Promise<void> | undefined;
  #outcome: Pick<CopyStatus, 'state' | 'errno' | 'message' | 'waitedMs'> = {
    ...{ state: 'running', errno: null, message: null, waitedMs: null },
  };
  /** Resolves when its outcome is known. */
  readonly settled: Promise<void>;
  #settle: () => void = () => {};

  constructor(private readonly plan: CopyPlan) {
    this.#shared = new MirrorShared(plan.mirror.shared);
    this.#numbers[RATE] = plan.rate;
    this.settled = new Promise((resolve) => {
      this.#settle = resolve;
    });
  }

  /** Begins to copy. Resolves when the thread has ended: all is copied, it was cancelled, or the file failed (throws). */
  async run(): Promise<'copied' | 'cancelled'> {
    const data: CopierData = {
      ...{
        mirror: this.plan.mirror,
        size: this.plan.size,
        what: this.plan.kind === 'commit' ? 'held' : 'all',
      },
      progress: this.#numbers.buffer as SharedArrayBuffer,
    };
    const worker = new Worker(COPIER, { workerData: data, name: 'copier', execArgv: [] });
    this.#worker = worker;
    this.#ended = once(worker, 'exit').then(() => undefined);
    const failure = once(worker, 'error').then(([error]) => {
      throw error;
    });
    await Promise.race([this.#ended, failure]);
    failure.catch(() => undefined);
    this.expectGood();
    return this.#shared.isCancelled ? 'cancelled' : 'copied';
  }

  /** Throws what was the matter with the file, or with what is copied. */
  expectGood(): void {
    const { errno } = this.#shared;
    if (errno === 0) return;
    const name = errnoName(errno);
    const { source, file } = this.plan;
    const what = this.#shared.hasFailedReading ? `${source} can't be read` : `${file()} can't be written`;
    throw new LoopError(name, `${what} (${name}): the copy was given up.`);
  }

  get size(): number {
    return this.plan.size;
  }

  file(): string {
    return this.plan.file();
  }

  get isCancelled(): boolean {
    return this.#shared.isCancelled;
  }

  /** It ends soon; nothing has changed. */
  cancel(): void {
    this.#shared.cancel();
  }

  /** Its thread is over. */
  async stopped(): Promise<void> {
    this.cancel();
    if (this.#worker !== undefined) await this.#ended;
  }

  /** What became of it; 'running': of what is known so far. */
  end(outcome: Partial<Pick<CopyStatus, 'state' | 'errno' | 'message' | 'waitedMs'>>): void {
    this.#outcome = { ...this.#outcome, ...outcome };
    if (!this.isRunning) this.#settle();
  }

  get isRunning(): boolean {
    return this.#outcome.state === 'running';
  }

  status(): CopyStatus {
    const { kind, size } = this.plan;
    return {
      ...{ kind, file: this.file(), ...this.#outcome, totalBytes: size },
      ...{ doneBytes: this.#numbers[DONE] ?? 0, rate: this.#numbers[RATE] ?? 0 },
    };
  }
}
