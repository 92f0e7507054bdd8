import { HeldLock, HeldLocks, Scope, Task } from './held-locks.js';
import { LOOP_LOCK_RULES, type LockClass, type LockRules } from './lock-classes.js';
import { LockGraph } from './lock-graph.js';
import { LockReport, type Mistake } from './lock-report.js';
import { lockdepSnapshot } from './lockdep-snapshot.js';
import { captureSite, type Frame } from './site.js';
import type { LockdepSnapshot } from './snapshot.js';

/** Counters of a lock class. */
export interface ClassCount {
  acquires: number;
  contended: number;
}

/**
 * One acquire of a lock class, as the code that implements the lock tells the validator: made when the acquire
 * begins, `acquired` once the lock is had, then `released`; or `cancelled` when the waiter gives up.
 */
export interface Acquisition {
  /** True when the same task already holds this very lock: waiting for it would never end. */
  readonly deadlock: boolean;
  /** The task that acquires, e.g. 'loopClrFd loop0 (#12)'. */
  readonly task: string;
  acquired(options?: { contended?: boolean }): void;
  cancelled(): void;
  /** Idempotence is the lock's business: a second call is reported as unbalanced. */
  released(): void;
  /** For an ownerless class: the lock outlives its task on purpose; another task will release it. */
  handOff(): void;
}

/** Options of the validator. */
export interface LockOrderOptions<C extends string> {
  readonly onReport?: (report: LockReport) => void;
  /** Default: the loop driver's. */
  readonly rules?: LockRules<C>;
}

/**
 * A validator of lock order for async code ("lockdep"): every acquire goes through it.
 *
 * It records which lock class is acquired under which, and reports an edge that closes a cycle or is outside the
 * declared order, a class acquired twice by one task, a release by a task that is not the owner, and a lock held
 * at the end of its task. Edges count when an acquire begins, so a deadlock is reported before it can happen, and
 * every mistake once, with a count.
 *
 * Flows of control that own locks run in `task`; without one, the first acquire starts an implicit task.
 */
export class LockOrder<C extends string = LockClass> {
  readonly #rules: LockRules<C>;
  readonly #graph: LockGraph<C>;
  readonly #locks = new HeldLocks();
  readonly #live = new Set<HeldLock>();
  readonly #counts = new Map<C, ClassCount>();
  readonly #reports = new Map<string, LockReport>();
  readonly #onReport: ((report: LockReport) => void) | undefined;

  constructor(options: LockOrderOptions<C> = {}) {
    // The default of C and the default of the rules are the same type.
    this.#rules = options.rules ?? (LOOP_LOCK_RULES as unknown as LockRules<C>);
    this.#graph = new LockGraph(this.#rules);
    this.#onReport = options.onReport;
  }

  get reports(): readonly LockReport[] {
    return [...this.#reports.values()];
  }

  /**
   * Runs one flow of control as a task: the owner of the locks it acquires. Started inside another task it counts
   * as nested in what that one holds at this moment (it is expected to be awaited there).
   */
  task<T>(name: string, work: () => T): T {
    const scope = new Scope(new Task(name, true), this.#locks.current);
    return this.#finally(scope, work, () => this.#taskEnded(scope.task));
  }

  /** Runs work that its starter does not wait for, so that it inherits no lock. */
  detached<T>(name: string, work: () => T): T {
    return this.#locks.exit(() => this.task(name, work));
  }

  /**
   * Runs a branch of the current task: it inherits the locks held now, and siblings do not see each other's. What
   * it still holds at its end belongs to the enclosing scope.
   */
  scope<T>(work: () => T): T {
    const parent = this.#locks.current ?? new Scope(new Task('implicit task', false));
    const scope = new Scope(parent.task, parent);
    return this.#finally(scope, work, () => {
      for (const lock of scope.own) {
        lock.scope = parent;
        parent.own.add(lock);
      }
    });
  }

  /**
   * An acquire begins. Must be called synchronously by the acquiring code, before the wait.
   *
   * `name` is the lock's instance, e.g. 'loop0'; `below` the function whose caller is the acquisition site. `rank`: the
   * task takes several of the class, each of a higher rank than those it has (the kernel's mutex_lock_nested); anything
   * else of one class twice is a report.
   */
  acquiring(
    lockClass: C,
    name: string,
    options: { readonly below?: Frame; readonly rank?: number | undefined } = {},
  ): Acquisition {
    const site = captureSite(options.below ?? this.acquiring);
    const scope = this.#locks.forAcquire();
    const held = scope.held();
    const lock = new HeldLock(lockClass, name, scope, site, options.rank);
    this.#live.add(lock);
    this.#count(lockClass).acquires++;
    const twin = held.find((other) => other.lockClass === lockClass && !isBelow(other, lock));
    const isNested = held.at(-1)?.lockClass === lockClass;
    if (twin === undefined && !isNested) this.#recordEdge(lock, held);
    else if (twin === undefined) return this.#acquisition(lock, false);
    else this.#report({ kind: 'recursion', subject: lock, conflict: twin, held });
    const deadlock =
      scope.task.explicit && held.some((other) => other.lockClass === lockClass && other.name === name);
    return this.#acquisition(lock, deadlock);
  }

  /** Reports every lock that is still held or waited for: call when nothing should be running. */
  expectIdle(): void {
    for (const lock of this.#live) this.#reportHeldAtEnd(lock);
  }

  /** Classes, edges with counts, present holders and reports: JSON-ready. */
  snapshot(): LockdepSnapshot {
    return lockdepSnapshot({
      rules: this.#rules,
      edges: this.#graph.edges(),
      counts: this.#counts,
      live: this.#live,
      reports: this.reports,
    });
  }

  #acquisition(lock: HeldLock, deadlock: boolean): Acquisition {
    return {
      deadlock,
      get task() {
        return String(lock.scope.task);
      },
      acquired: ({ contended = false } = {}) => {
        lock.state = 'held';
        if (contended) this.#count(lock.lockClass as C).contended++;
      },
      cancelled: () => this.#forget(lock),
      released: () => this.#release(lock),
      handOff: () => {
        lock.orphaned = true;
        lock.scope.own.delete(lock);
        lock.scope.task.locks.delete(lock);
      },
    };
  }

  #recordEdge(lock: HeldLock, held: readonly HeldLock[]): void {
    const innermost = held.at(-1);
    if (innermost === undefined) return;
    const bad = this.#graph.record(innermost, lock);
    if (bad !== undefined) this.#report({ ...bad, subject: lock, conflict: innermost, held });
  }

  #release(lock: HeldLock): void {
    const task = this.#locks.current?.task;
    const kind =
      lock.state !== 'held' ? 'unbalanced-release' : this.#mayRelease(lock, task) ? undefined : 'wrong-owner';
    if (kind !== undefined) {
      const by = { task: task === undefined ? 'no task' : String(task), site: captureSite(this.#release) };
      const held = this.#locks.current?.held() ?? [];
      this.#report({ kind, subject: lock, by, conflict: lock, held });
    }
    this.#forget(lock);
  }

  /** Between implicit tasks ownership is not known for sure, so that only explicit ones are held to it. */
  #mayRelease(lock: HeldLock, task: Task | undefined): boolean {
    const owner = lock.scope.task;
    if (lock.orphaned || task === owner || this.#ownerless(lock)) return true;
    return !owner.explicit && (task === undefined || !task.explicit);
  }

  #ownerless(lock: HeldLock): boolean {
    return this.#rules.classes[lock.lockClass as C].ownerless === true;
  }

  #forget(lock: HeldLock): void {
    lock.forget();
    this.#live.delete(lock);
  }

  #taskEnded(task: Task): void {
    for (const lock of task.locks) this.#reportHeldAtEnd(lock);
  }

  #reportHeldAtEnd(lock: HeldLock): void {
    if (lock.leaked) return;
    lock.leaked = true;
    lock.orphaned = true;
    this.#report({ kind: 'held-at-end', subject: lock, held: [...lock.scope.task.locks] });
  }

  #report(mistake: Mistake): void {
    const { kind, subject, conflict } = mistake;
    const key = `${kind} ${conflict?.lockClass} ${subject.lockClass}`;
    const known = this.#reports.get(key);
    if (known !== undefined) {
      known.count++;
      return;
    }
    const report = new LockReport(mistake, (lockClass) => this.#rules.classes[lockClass as C].kernelName);
    this.#reports.set(key, report);
    this.#onReport?.(report);
  }

  #count(lockClass: C): ClassCount {
    let count = this.#counts.get(lockClass);
    if (count === undefined) {
      count = { acquires: 0, contended: 0 };
      this.#counts.set(lockClass, count);
    }
    return count;
  }

  /** Runs work in a scope and `end` after it, when it returns, throws or settles. */
  #finally<T>(scope: Scope, work: () => T, end: () => void): T {
    let result: T;
    try {
      result = this.#locks.run(scope, work);
    } catch (error) {
      end();
      throw error;
    }
    if (!(result instanceof Promise)) {
      end();
      return result;
    }
    return result.finally(end) as T;
  }
}

/** Declared to be taken before the other. */
const isBelow = ({ rank }: HeldLock, next: HeldLock): boolean =>
  rank !== undefined && next.rank !== undefined && rank < next.rank;

export type { LockClass, LockReport };
