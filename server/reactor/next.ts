/** What a connection does next. */
export const Next = {
  /** Waits for the peer to send. */
  RECEIVE: 0,
  /** Has more to do at once. */
  RUN: 1,
  /** Waits for the peer to take what it was sent. */
  SEND: 2,
  /** Waits for the device to thaw. */
  THAW: 3,
  /** Waits for operations that it started. */
  WAIT: 4,
  /** Is over, and may be closed. */
  END: 5,
  /** Is over here: between two requests, with the socket open. */
  PARTED: 6,
} as const;
export type Next = (typeof Next)[keyof typeof Next];
