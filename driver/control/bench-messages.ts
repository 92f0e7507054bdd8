/** JSON types of faults, limits and power cuts. Types only, as `messages.ts`, which has them, too. */
import type { FaultEvent, FaultState, GivenRule } from '../store/faults/rule.js';
import type { Limits, LimitsChange } from '../store/limits/limits.js';

export type { Delay as FaultDelay } from '../store/faults/delay.js';
export type { FaultKind, FaultOperation, FaultRange } from '../store/faults/rule.js';
export type { FaultEvent, FaultState, Limits, LimitsChange };
/** What makes a fault: the kind, and whatever it needs; the rest goes without saying. */
export type FaultRule = GivenRule;

/** Body of PUT /devices/N/faults: the whole set; and of POST: what is added to it. */
export interface FaultsRequest {
  readonly rules: readonly FaultRule[];
}

/** Answer of everything about faults: the rules in force, in the order in which they are asked. */
export interface FaultsAnswer {
  readonly rules: readonly FaultState[];
}

/** Body of POST /devices/N/power-cut. */
export interface PowerCutRequest {
  /** Of what was not made durable. Default: none. */
  readonly keep?: 'none' | 'all' | 'random';
  /** Default: drawn, and told. */
  readonly seed?: number;
  /** Of a write, some sectors may be kept and others not. */
  readonly tear?: boolean;
}

/** What a power cut has left. */
export interface PowerCutAnswer {
  readonly keep: 'none' | 'all' | 'random';
  readonly seed: number;
  readonly tear: boolean;
  /** Writes, trims and zeroes that were not durable, how many of them were kept, and how many of those in part. */
  readonly writes: number;
  readonly kept: number;
  readonly torn: number;
}

/** Body of POST /devices/N/faults/release; without a rule, what all of them hold. */
export interface ReleaseRequest {
  readonly rule?: string;
}
