import { Mutex } from 'async-mutex';
import { LoopError } from '../errno.js';
import type { Acquisition, LockClass, LockOrder } from './lock-order.js';

/** A mutex that is held. `release` is idempotent; `using` releases at the end of the block. */
export interface Held extends Disposable {
  release(): void;
}

export interface AcquireOptions {
  readonly signal?: AbortSignal;
  readonly onWait?: () => void;
  /** The task takes several mutexes of the class, in ascending rank. */
  readonly rank?: number | undefined;
}

interface Waiter {
  grant(release: () => void): void;
}

/**
 * A mutex of a class: fair, cancellable, and known to the lock-order validator.
 *
 * async-mutex is the lock. Its queue cannot forget a single waiter, so waiters queue here, in the order of
 * arrival, and one at a time enters the lock: a waiter that gives up is gone at once.
 */
export class OrderedMutex<C extends string = LockClass> {
  readonly #order: LockOrder<C>;
  readonly #mutex = new Mutex();
  readonly #waiters = new Set<Waiter>();

  constructor(
    order: LockOrder<C>,
    readonly lockClass: C,
    /** The instance, e.g. 'loop0'. */
    readonly name: string,
  ) {
    this.#order = order;
  }

  get locked(): boolean {
    return this.#mutex.isLocked();
  }

  /** Acquires that wait. */
  get waiters(): number {
    return this.#waiters.size;
  }

  /**
   * Waits for the mutex.
   *
   * Rejects with the signal's reason when it is aborted before the mutex is had, and with EDEADLK when the task
   * already holds this very mutex. `onWait` is called, at once, when somebody else has it. Not an async function: the
   * validator must see the caller's own context.
   */
  acquire(options: AcquireOptions = {}): Promise<Held> {
    const { signal, onWait, rank } = options;
    if (signal?.aborted) return Promise.reject(signal.reason);
    const acquisition = this.#order.acquiring(this.lockClass, this.name, { below: this.acquire, rank });
    if (acquisition.deadlock) {
      acquisition.cancelled();
      return Promise.reject(
        new LoopError('EDEADLK', `EDEADLK: ${this.name}: the task already holds ${this.lockClass}.`),
      );
    }
    const contended = this.locked;
    if (contended) onWait?.();
    return this.#enter(signal).then(
      (release) => {
        acquisition.acquired({ contended });
        return heldMutex(acquisition, release);
      },
      (error) => {
        acquisition.cancelled();
        throw error;
      },
    );
  }

  /** Runs work with the mutex held, in a scope of its own: branches that run side by side stay apart. */
  runExclusive<T>(work: () => Promise<T> | T, options: { readonly signal?: AbortSignal } = {}): Promise<T> {
    return this.#order.scope(async () => {
      using _held = await this.acquire(options);
      return await work();
    });
  }

  /** Resolves with the releaser of async-mutex. */
  #enter(signal: AbortSignal | undefined): Promise<() => void> {
    return new Promise((resolve, reject) => {
      const abort = (): void => {
        this.#waiters.delete(waiter);
        reject(signal?.reason);
      };
      const waiter: Waiter = {
        grant: (release) => {
          signal?.removeEventListener('abort', abort);
          // Aborted between the lock's grant and this: the next waiter gets it.
          if (signal?.aborted) release();
          else resolve(release);
        },
      };
      signal?.addEventListener('abort', abort, { once: true });
      this.#waiters.add(waiter);
      this.#admitNext();
    });
  }

  /** Lets the first waiter into the free lock. async-mutex counts as locked from the call on. */
  #admitNext(): void {
    const [first] = this.#waiters;
    if (first === undefined || this.#mutex.isLocked()) return;
    this.#waiters.delete(first);
    void this.#mutex.acquire().then((release) =>
      first.grant(() => {
        release();
        this.#admitNext();
      }),
    );
  }
}

function heldMutex(acquisition: Acquisition, unlock: () => void): Held {
  let held = true;
  const release = (): void => {
    if (!held) return;
    held = false;
    acquisition.released();
    unlock();
  };
  return { release, [Symbol.dispose]: release };
}
