import { awayFromPage } from '../system/buffers.js';

/** Received bytes, in memory the kernel writes to and reads from directly. */
export class Input {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly address: number;

  constructor(capacity: number) {
    const { bytes, address } = awayFromPage(capacity);
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, capacity);
    this.address = address;
  }
}
