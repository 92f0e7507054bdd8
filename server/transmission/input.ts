import { addressOf } from './sockets.js';

/** Received bytes, in memory the kernel writes to and reads from directly. */
export class Input {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly address: number;

  constructor(capacity: number) {
    const memory = new ArrayBuffer(capacity);
    this.bytes = new Uint8Array(memory);
    this.view = new DataView(memory);
    this.address = addressOf(memory);
  }
}
