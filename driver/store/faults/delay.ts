import { unitAt } from './random.js';

/** How long something takes, milliseconds. */
export type Delay =
  | { readonly distribution: 'fixed'; readonly ms: number }
  | { readonly distribution: 'uniform'; readonly min: number; readonly max: number }
  | { readonly distribution: 'normal'; readonly mean: number; readonly deviation: number }
  /** Seldom very long: at least `min`; the smaller `shape`, the longer the tail. */
  | { readonly distribution: 'pareto'; readonly min: number; readonly shape: number };

/** No delay is longer, milliseconds: a day. */
export const LONGEST_DELAY_MS = 86_400_000;

/** What the numbers that a delay draws are for; others have other uses. */
const FIRST = 100;
const SECOND = 101;

/** The delay at a place of a seeded sequence, milliseconds. */
export function delayAt(delay: Delay, seed: number, index: number): number {
  return Math.min(Math.max(0, drawn(delay, seed, index)), LONGEST_DELAY_MS);
}

function drawn(delay: Delay, seed: number, index: number): number {
  const unit = unitAt(seed, index, FIRST);
  switch (delay.distribution) {
    case 'fixed':
      return delay.ms;
    case 'uniform':
      return delay.min + unit * (delay.max - delay.min);
    case 'normal': {
      // Box and Muller; 1 - unit is never 0.
      const radius = Math.sqrt(-2 * Math.log(1 - unit));
      return delay.mean + delay.deviation * radius * Math.cos(2 * Math.PI * unitAt(seed, index, SECOND));
    }
    case 'pareto':
      return delay.min / (1 - unit) ** (1 / delay.shape);
  }
}
