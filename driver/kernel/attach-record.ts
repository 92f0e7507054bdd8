/** How a device is attached to the kernel, and what that has to know of it. */

import { LoopError } from '../errno.js';
import type { Attacher, AttachTarget } from './attach.js';

/** Seconds; none: what is only slow is waited for. That the daemon is gone shows by its sockets, which are closed then. */
const DEFAULT_TIMEOUT = 0;
/** Seconds that one that is gone may take to come back. */
const DEFAULT_DEAD_TIMEOUT = 30;

export interface AttachOptions {
  readonly by?: Attacher['method'];
  readonly connections?: number;
  readonly timeout?: number;
  readonly deadTimeout?: number;
}

/** How a device was attached: what a daemon that takes it up again has to know. */
export type AttachRecord = Required<AttachOptions>;

/** What the kernel has to know of a device. */
export interface AttachableDevice {
  /** Of its binding; null when it has none. */
  readonly uuid: string | null;
  readonly size: number;
  readonly blockSize: number;
  readonly autoclear: boolean;
  readonly partscan: boolean;
  /** It has limits, for which requests wait. */
  readonly isLimited: boolean;
}

/** Where nothing else is asked for. */
export const recordOf = (by: Attacher['method'], options: AttachOptions): AttachRecord => ({
  by,
  connections: options.connections ?? 1,
  timeout: options.timeout ?? DEFAULT_TIMEOUT,
  deadTimeout: options.deadTimeout ?? DEFAULT_DEAD_TIMEOUT,
});

/** Throws ENXIO when there is nothing to attach. */
export function targetOf(device: number, record: AttachRecord, described: AttachableDevice): AttachTarget {
  const { size, blockSize, uuid, isLimited } = described;
  const { connections, timeout, deadTimeout } = record;
  if (uuid === null) throw new LoopError('ENXIO', `loop${device} has no backing file.`);
  return {
    device,
    exportName: `loop${device}`,
    binding: uuid,
    size,
    blockSize,
    connections,
    timeout,
    isLimited,
    deadTimeout,
  };
}
