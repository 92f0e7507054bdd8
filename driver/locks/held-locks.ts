import { AsyncLocalStorage } from 'node:async_hooks';
import type { Site } from './site.js';

/**
 * Which locks the running code holds.
 *
 * AsyncLocalStorage carries a context down into callees, never back up to a caller, so the held locks live in a
 * mutable `Scope` that caller and callees share: a lock acquired by an awaited callee is seen by its caller.
 * Branches that run side by side must not share one, or each would seem to hold the other's locks. Three rules
 * keep them apart:
 *
 * 1. `task` and `scope` run their work in a scope of its own. It inherits the locks held at the fork, and nothing
 *    that its siblings or its parent acquire later.
 * 2. An acquire that begins while another acquire of the same scope still waits is a branch by itself (sequential
 *    code would be waiting too): it forks.
 * 3. An acquire outside of any task makes an implicit one, from there on (`enterWith`).
 */

let lastTask = 0;

/** One flow of control, the unit of ownership. */
export class Task {
  readonly id = ++lastTask;
  /** Held or waited for, in the order of acquire. */
  readonly locks = new Set<HeldLock>();

  constructor(
    readonly name: string,
    /** False for a task that an acquire outside of any task made: its end is not known. */
    readonly explicit: boolean,
  ) {}

  toString(): string {
    return `${this.name} (#${this.id})`;
  }
}

/** A branch of a task, with the locks it holds. */
export class Scope {
  /** Locks acquired in this scope, in the order of acquire. */
  readonly own = new Set<HeldLock>();
  readonly #inherited: readonly HeldLock[];

  constructor(
    readonly task: Task,
    parent?: Scope,
  ) {
    this.#inherited = parent === undefined ? [] : parent.held();
  }

  /** Outermost first. */
  held(): HeldLock[] {
    return [...this.#inherited, ...this.own].filter((lock) => lock.state === 'held');
  }

  get waiting(): boolean {
    for (const lock of this.own) if (lock.state === 'waiting') return true;
    return false;
  }
}

/** One acquire: waiting, then held, then gone. */
export class HeldLock {
  state: 'waiting' | 'held' | 'gone' = 'waiting';
  /** True once it was handed off, or reported as held at the end of its task: no task owns it any more. */
  orphaned = false;
  /** True once it was reported as held at the end. */
  leaked = false;
  /** `performance.now()` of the acquire. */
  readonly since = performance.now();

  constructor(
    readonly lockClass: string,
    readonly name: string,
    public scope: Scope,
    /** Where it was acquired. */
    readonly site: Site,
    /** Of one that is declared to be taken with others of its class, in ascending order. */
    readonly rank?: number,
  ) {
    scope.own.add(this);
    scope.task.locks.add(this);
  }

  forget(): void {
    this.state = 'gone';
    this.scope.own.delete(this);
    this.scope.task.locks.delete(this);
  }
}

/** The scope that code runs in, a link for each validator that has one. */
interface Context {
  readonly validator: HeldLocks;
  readonly scope: Scope | undefined;
  readonly outer: Context | undefined;
}

/** One for all validators: Node carries every AsyncLocalStorage that was ever used along with every promise. */
const storage = new AsyncLocalStorage<Context | undefined>();

/** The current scope of every flow of control; one instance a validator. */
export class HeldLocks {
  get current(): Scope | undefined {
    for (let context = storage.getStore(); context !== undefined; context = context.outer) {
      if (context.validator === this) return context.scope;
    }
    return undefined;
  }

  /** The scope that an acquire beginning now belongs to. Must be called synchronously by the acquiring code. */
  forAcquire(): Scope {
    const current = this.current;
    if (current !== undefined && !current.waiting) return current;
    const scope =
      current === undefined ? new Scope(new Task('implicit task', false)) : new Scope(current.task, current);
    storage.enterWith(this.#context(scope));
    return scope;
  }

  run<T>(scope: Scope, work: () => T): T {
    return storage.run(this.#context(scope), work);
  }

  /** Runs work outside of any task. */
  exit<T>(work: () => T): T {
    return storage.run(this.#context(undefined), work);
  }

  #context(scope: Scope | undefined): Context {
    const present = storage.getStore();
    return { validator: this, scope, outer: present?.validator === this ? present.outer : present };
  }
}
