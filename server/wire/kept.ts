import type { Replied } from './reply.js';

/** A request as its reply needs it, with the range that it is about. */
export interface Ranged extends Replied {
  /** Bytes. */
  readonly offset: number;
  readonly length: number;
}

/** Holds that of a request, whether it was just decoded or is answered later. Reused. */
export class Kept implements Ranged {
  /** The cookie's two halves: it is opaque, and a BigInt would be allocated. */
  cookieHigh = 0;
  cookieLow = 0;
  /** The offset's two halves: exact, and the low one is enough for every alignment check. */
  offsetHigh = 0;
  offsetLow = 0;
  /** Bytes. */
  offset = 0;
  /** Bytes: of the range, or of the payload where the command says so. */
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
