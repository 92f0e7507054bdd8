import type { Delay } from './delay.js';

/** What a fault does to the request that it hits. */
export type FaultKind = 'errno' | 'delay' | 'torn' | 'lost' | 'misdirected' | 'flipped' | 'hang';

/** What a request asks for, as rules name it. */
export type FaultOperation = 'read' | 'write' | 'flush' | 'trim' | 'zero';

/** Bytes of the device. */
export interface FaultRange {
  readonly offset: number;
  readonly length: number;
}

/** A rule that was found good, with all that goes without saying. What is null is not asked for. */
export interface FaultRule {
  /** Names it within its device. */
  readonly id: string;
  readonly kind: FaultKind;
  /** Name of an errno; kind errno only. */
  readonly errno: string | null;
  /** Kind delay only. */
  readonly delay: Delay | null;
  /** Kind torn: so many sectors of 512 bytes are changed; null: a seeded number, less than all. */
  readonly sectors: number | null;
  /** Kind misdirected: bytes of the device; null: a seeded other place. */
  readonly to: number | null;
  /** Kind flipped: how many bits. */
  readonly bits: number | null;

  /* Which requests it looks at. */
  readonly operations: readonly FaultOperation[];
  /** Those that touch one of these; none: all of the device. */
  readonly ranges: readonly FaultRange[];
  /** Only those that must be durable when they are answered. */
  readonly fua: boolean;

  /* Which of those it hits: those that pass every test. */
  /** Not the first so many. */
  readonly after: number;
  /** Of the rest, each n-th. */
  readonly every: number;
  /** Of those, by chance. */
  readonly probability: number;
  /** Of those, at most so many; null: all. */
  readonly count: number | null;
  readonly seed: number;
}

/** A rule with what its threads share. */
export interface LiveRule extends FaultRule {
  /** Not that of any other rule that ever was. */
  readonly serial: number;
  /** Number of the errno; 0 where there is none. */
  readonly number: number;
  readonly shared: SharedArrayBuffer;
}

/** What a device publishes of its faults. */
export interface FaultsDescription {
  readonly rules: readonly LiveRule[];
  /** See `HitRing`. */
  readonly hits: SharedArrayBuffer;
  /** By which the control side is told of hits. */
  readonly bell: number;
}

/** A rule as it is given. */
export type GivenRule = { readonly kind: FaultKind } & {
  readonly [K in keyof FaultRule as K extends 'kind' ? never : K]?: FaultRule[K] | undefined;
};

/** A fault rule in force, and what it came to. */
export interface FaultState extends FaultRule {
  /** Requests that it looked at: the place in the sequence that the next one has. */
  readonly seen: number;
  /** Of those, how many met it. */
  readonly hits: number;
  /** Of those, how many wait to be released. */
  readonly held: number;
}

/** A request that met a fault. Bytes of the device; both 0 for a flush. */
export interface FaultHit {
  readonly rule: string;
  readonly fault: FaultKind;
  readonly operation: FaultOperation;
  readonly offset: number;
  readonly length: number;
  /** Its place in the sequence of requests that the rule saw, from 0 on. */
  readonly index: number;
  /** Hits before this one that are counted only: there were too many to tell. */
  readonly missed: number;
}

/** The same as an event. */
export interface FaultEvent extends FaultHit {
  readonly device: number;
  readonly kind: 'fault';
  /** Of one sequence with `LoopEvent`. */
  readonly sequence: number;
}
