/** Attaching a device to the kernel as /dev/nbdN: what every way of doing it offers. */

import type { ErrnoName } from '../errno.js';

/** What to attach, and how. Device N becomes /dev/nbdN. */
export interface AttachTarget {
  readonly device: number;
  /** Name of the export, `loopN`. */
  readonly exportName: string;
  /** The binding that is attached: no other one is ever served there. */
  readonly binding: string;
  /** Bytes. */
  readonly size: number;
  /** Logical block size, bytes, 512 to 4096. */
  readonly blockSize: number;
  /** Sockets between kernel and daemon. */
  readonly connections: number;
  /** Seconds after which the kernel gives up a request and its socket; 0: never. */
  readonly timeout: number;
  /** Requests wait for the device's limits, however long: the timeout is not for them. */
  readonly isLimited: boolean;
  /** Seconds that the kernel waits for a new connection when all are dead. */
  readonly deadTimeout: number;
}

/**
 * One way into the kernel. Nothing here may open the node or wait for its I/O on a thread of the daemon: the
 * requests that such a call waits for are answered by this process.
 */
export interface Attacher {
  readonly method: 'nbd-client' | 'netlink';
  /** Why it can't work on this machine, or null. */
  obstacle(): Promise<Obstacle | null>;
  attach(target: AttachTarget): Promise<void>;
  /**
   * Takes up a device that a daemon before this one attached, with the sockets that it left. False when the kernel
   * does not have it any more. `after`: nothing is served before it resolves; the kernel gets its sockets at once.
   */
  resume(
    target: AttachTarget,
    sockets: readonly PartedSocket[],
    after?: Promise<unknown> | undefined,
  ): Promise<boolean>;
  /**
   * Knows a device that a daemon before this one attached, without serving it: it can be detached. False when the kernel
   * does not have it any more.
   */
  hold(target: AttachTarget): boolean;
  /** Leaves everything in the kernel as it is: sockets that are lost from here on are not replaced. */
  abandon(): void;
  /** As `abandon`, and gives up the sockets that are served, for a daemon that comes at once. */
  part(): Promise<PartedDevice[]>;
  /**
   * Disconnects at once, whoever uses the node: what is under way in the kernel fails, and so does what comes. It is
   * enough that the kernel sends no more requests: a node that is in use is free again when its last user closes it.
   */
  disconnect(device: number): Promise<void>;
  /** The kernel has let go of the device: it is not looked after any more. */
  forget(device: number): void;
  /** True when the kernel's device now has `size` bytes; false where this way cannot tell the kernel. */
  resize(device: number, size: number): Promise<boolean>;
  /**
   * The kernel disconnects when the last of those who have the device open closes it, or does not. False where this way
   * cannot change it on an attached device. ENXIO when the kernel has let go.
   */
  disconnectOnClose(device: number, on: boolean): Promise<boolean>;
  /** The device has limits now, or none any more. Best effort. */
  limited(device: number, isLimited: boolean): Promise<void>;
}

/** A socket in between two daemons, between two requests; `leftover`: what was received and not served. */
export interface PartedSocket {
  readonly fd: number;
  readonly leftover: Uint8Array;
}

export interface PartedDevice {
  readonly device: number;
  /** None where what is under way did not end in time: then they are dead for the kernel. */
  readonly sockets: readonly PartedSocket[];
}

export interface Obstacle {
  readonly errno: ErrnoName;
  readonly message: string;
}

/** Where an NBD client on this machine reaches the daemon. */
export type Endpoint = { readonly unix: string } | { readonly host: string; readonly port: number };
