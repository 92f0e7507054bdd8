/** Which delta is laid over the file. */
export interface WantedOverlay {
  /** Absolute path; made where there is none. Absent: an unnamed one, which is gone with the binding. */
  readonly delta?: string | undefined;
  /** An unnamed one is meant. */
  readonly temporary?: boolean | undefined;
  /** Takes a base that has changed since the delta was made, or last used: the caller vouches for it. */
  readonly force?: boolean | undefined;
  /** Of one that is made: bytes, a power of two, 4096 to 65536. Default: 4096. */
  readonly blockSize?: number | undefined;
}
