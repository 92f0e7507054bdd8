/** A fuzzing input: how the server is set up and held up, and what its client sends. */

/** Bytes of the plan at the start of an input; the client's bytes follow. */
export const PLAN_BYTES = 8;

export interface Plan {
  /** A read-only listener. */
  readonly readOnly: boolean;
  /** The device demands blocks of 4096 bytes where 512 is usual. */
  readonly largeBlocks: boolean;
  /** Replies may go through a pipe. */
  readonly zeroCopy: boolean;
  /** What may take long is started, and ends out of order; so are reads and writes, as with direct I/O. */
  readonly deferred: 'no' | 'flushes' | 'all';
  /** The server is going down. */
  readonly draining: boolean;
  /** Every n-th operation on the file fails; 0: none does. */
  readonly faultEvery: number;
  /** Lengths of the pieces in which the client's bytes arrive, over and over. */
  readonly pieces: readonly number[];
  /** Bit n: the device is frozen when piece n arrives; bit n + 4: the client takes no reply then. */
  readonly holds: number;
}

const byteAt = (input: Buffer, index: number): number => input[index] ?? 0;

/** Length of a piece from one byte: 1 to 64 bytes, or up to some 16 KiB. */
const pieceOf = (byte: number): number => (byte < 64 ? byte + 1 : (byte - 63) * 85);

export function planOf(input: Buffer): Plan {
  const flags = byteAt(input, 0);
  const faults = byteAt(input, 1);
  return {
    readOnly: (flags & 1) !== 0,
    largeBlocks: (flags & 2) !== 0,
    zeroCopy: (flags & 4) !== 0,
    deferred: (flags & 8) === 0 ? 'no' : (flags & 16) === 0 ? 'flushes' : 'all',
    draining: (flags & 0xf8) === 0xf8,
    faultEvery: faults < 128 ? 0 : (faults & 15) + 1,
    holds: byteAt(input, 2),
    pieces: [4, 5, 6, 7].map((index) => pieceOf(byteAt(input, index))),
  };
}

/** What the client sends. */
export const wireOf = (input: Buffer): Buffer => input.subarray(PLAN_BYTES);

/** A plan without faults and holds, and with long pieces. */
const PLAIN_PLAN = Buffer.from([4, 0, 0, 0, 255, 255, 255, 255]);

export const inputOf = (wire: Buffer, plan: Buffer = PLAIN_PLAN): Buffer => Buffer.concat([plan, wire]);

/** The pieces of `wire` in order, as the plan cuts them; very many become fewer and longer. */
export function* cut(wire: Buffer, { pieces }: Plan): Generator<Buffer> {
  const least = wire.length >> 8;
  for (let at = 0, turn = 0; at < wire.length; turn++) {
    const end = at + Math.max(least, pieces[turn % pieces.length] ?? 1);
    yield wire.subarray(at, end);
    at = end;
  }
}
