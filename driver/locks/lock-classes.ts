/**
 * The lock classes of the loop driver and the order they may nest in.
 *
 * A class is a role, not an object: every device has its own loMutex, and all of them are class 'loMutex'.
 * docs/lock-order.md tells where the order comes from.
 */

/** What a class is for. */
export interface LockClassInfo {
  /** What kernel developers call it. */
  readonly kernelName: string;
  /** What the lock guards, one sentence. */
  readonly guards: string;
  /**
   * True when one task may acquire and another release: then only the balance counts, as it does for the
   * kernel's blk_mq_freeze_queue_non_owner.
   */
  readonly ownerless?: boolean;
}

/** "While holding the first, the second may be acquired." */
export type LockEdge<C extends string> = readonly [held: C, acquired: C];

/** The declared order. */
export interface LockRules<C extends string> {
  readonly classes: Readonly<Record<C, LockClassInfo>>;
  /** The only edges that may ever exist. Left out, every order is allowed that closes no cycle. */
  readonly edges?: readonly LockEdge<C>[];
  /**
   * Dependencies that no acquire shows: whoever waits for the first may in truth wait for the second. They close
   * cycles but never justify an edge.
   */
  readonly waits?: readonly LockEdge<C>[];
}

/** A lock class of the loop driver. */
export type LockClass =
  | 'ctlMutex'
  | 'systemTransitionMutex'
  | 'openMutex'
  | 'validateMutex'
  | 'loMutex'
  | 'freeze';

/** The lock order of DESIGN section 4. */
export const LOOP_LOCK_RULES: LockRules<LockClass> = {
  classes: {
    ctlMutex: {
      kernelName: 'loop_ctl_mutex',
      guards: 'the registry: which device numbers exist',
    },
    systemTransitionMutex: {
      kernelName: 'system_transition_mutex',
      guards: 'the power state of the machine: suspend, resume and hibernation, one at a time',
    },
    openMutex: {
      kernelName: 'disk->open_mutex',
      guards: "a device's count of openers",
    },
    validateMutex: {
      kernelName: 'loop_validate_mutex',
      guards: 'which device has which backing file, across all devices: no device ends up backed by itself',
    },
    loMutex: {
      kernelName: 'lo->lo_mutex',
      guards: "a device's state, backing file and parameters",
    },
    freeze: {
      kernelName: 'freeze (waits for I/O)',
      guards: 'a device against requests: while it is frozen none is in flight and none enters',
      ownerless: true,
    },
  },
  edges: [
    ['systemTransitionMutex', 'openMutex'],
    ['validateMutex', 'loMutex'],
    ['loMutex', 'freeze'],
  ],
  // A freeze waits for requests in flight. On a machine that is being suspended or resumed those finish only
  // when the transition does, and its task holds systemTransitionMutex.
  waits: [['freeze', 'systemTransitionMutex']],
};
