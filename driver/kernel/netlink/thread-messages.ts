/** What the daemon and its kernel thread tell each other. Types only. */

/** A command to the nbd family; `attributes` as the kernel takes them. */
export interface Ask {
  readonly id: number;
  readonly command: number;
  readonly attributes: Uint8Array;
}

export type ToKernelThread = { readonly kind: 'ask'; readonly ask: Ask } | { readonly kind: 'stop' };

export type FromKernelThread =
  /** `errno` 0: done. `replies`: attributes of the messages that came before the acknowledgement. */
  | {
      readonly kind: 'answer';
      readonly id: number;
      readonly errno: number;
      readonly replies: readonly Uint8Array[];
    }
  /** The kernel has lost a socket of this device. */
  | { readonly kind: 'link-dead'; readonly index: number }
  /** The mount table changed. */
  | { readonly kind: 'mounts' };

/** What the thread starts with. */
export interface KernelThreadData {
  /** Written when a message was posted. */
  readonly wakeFd: number;
}
