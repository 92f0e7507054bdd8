/** How many connections there may be, in all and from one peer. */
export interface ConnectionLimitOptions {
  readonly total: number;
  /** Counted by address; connections over a Unix socket have none and count only in all. */
  readonly perPeer: number;
}

/** Counts connections from accept to close. */
export class ConnectionLimits {
  #total = 0;
  readonly #peers = new Map<string, number>();

  constructor(private options: ConnectionLimitOptions) {}

  /** For newcomers; those who are there count and stay. */
  change(options: ConnectionLimitOptions): void {
    this.options = options;
  }

  get total(): number {
    return this.#total;
  }

  /** Counts a connection in; the result is a function that counts it out, once. Undefined when there is no room. */
  enter(peer: string | undefined): (() => void) | undefined {
    const fromPeer = peer === undefined ? 0 : (this.#peers.get(peer) ?? 0);
    if (this.#total >= this.options.total || fromPeer >= this.options.perPeer) return undefined;
    this.#total++;
    if (peer !== undefined) this.#peers.set(peer, fromPeer + 1);
    let isIn = true;
    return () => {
      if (isIn) this.#leave(peer);
      isIn = false;
    };
  }

  #leave(peer: string | undefined): void {
    this.#total--;
    if (peer === undefined) return;
    const left = (this.#peers.get(peer) ?? 1) - 1;
    if (left === 0) this.#peers.delete(peer);
    else this.#peers.set(peer, left);
  }
}
