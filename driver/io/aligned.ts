import { addressOf } from './file-calls.js';

export interface AlignedMemory {
  readonly bytes: Uint8Array;
  /** A multiple of 4096. */
  readonly address: number;
}

const PAGE = 4096;

/** Page-aligned memory as direct I/O needs it; it stays where it is as long as `bytes` is referenced. */
export function alignedMemory(length: number): AlignedMemory {
  const memory = new ArrayBuffer(length + PAGE);
  const start = addressOf(memory);
  const address = Math.ceil(start / PAGE) * PAGE;
  return { bytes: new Uint8Array(memory, address - start, length), address };
}
