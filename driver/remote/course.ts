/** The way of one device through the states: where it is, since when and why, and the steps that led there. */

import type { LoopError } from '../errno.js';
import { next, type RemoteState, type Signal, type Transition } from './states.js';

/** Steps of the past that are told. */
const TOLD_STEPS = 16;

export class Course {
  #since: number;
  /** Up to `#since`, milliseconds. */
  #awayMs = 0;
  #transitions: readonly Transition[] = [];
  /** Why it is not attached; null while it is. */
  problem: LoopError | null = null;

  constructor(
    private present: RemoteState,
    private readonly now: () => number = Date.now,
  ) {
    this.#since = now();
  }

  get state(): RemoteState {
    return this.present;
  }

  /** When that state was reached, milliseconds since 1970. */
  get since(): number {
    return this.#since;
  }

  /** How long it was not attached, milliseconds. */
  get awayMs(): number {
    return this.#awayMs + (this.present === 'attached' ? 0 : Math.max(0, this.now() - this.#since));
  }

  /** The last steps, the latest at the end. */
  get transitions(): readonly Transition[] {
    return this.#transitions;
  }

  /** Throws for a signal that the state can't get: a bug of ours. */
  step(signal: Signal): Transition {
    const to = next(this.present, signal);
    const step = { from: this.present, to, at: this.now(), message: this.problem?.message ?? null };
    this.#awayMs = this.awayMs;
    this.present = to;
    this.#since = step.at;
    this.#transitions = [...this.#transitions, step].slice(-TOLD_STEPS);
    return step;
  }
}
