import type { Replied } from '../wire/reply.js';

/** What is kept of a request that is answered later. */
export interface Ranged extends Replied {
  /** Bytes. */
  readonly offset: number;
  readonly length: number;
}

/** Keeps it, while the request that was decoded is used for the next one. Reused. */
export class Kept implements Ranged {
  cookieHigh = 0;
  cookieLow = 0;
  offsetHigh = 0;
  offsetLow = 0;
  offset = 0;
  length = 0;

  keep(request: Ranged): void {
    this.cookieHigh = request.cookieHigh;
    this.cookieLow = request.cookieLow;
    this.offsetHigh = request.offsetHigh;
    this.offsetLow = request.offsetLow;
    this.offset = request.offset;
    this.length = request.length;
  }
}
