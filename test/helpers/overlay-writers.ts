import { once } from 'node:events';
import { type MessagePort, Worker } from 'node:worker_threads';
import { storeBoard } from '../../driver/queue/store-board.js';

export interface OverlayWriterData {
  readonly shared: SharedArrayBuffer;
  readonly lane: number;
  readonly lanes: number;
  readonly blocks: number;
  readonly blockSize: number;
  readonly port: MessagePort;
  readonly start: SharedArrayBuffer;
}

/** So many threads each write their part of every block, in the same order at the same time. */
export async function writeParts(
  shared: SharedArrayBuffer,
  {
    lanes,
    blocks,
    blockSize,
  }: { readonly lanes: number; readonly blocks: number; readonly blockSize: number },
): Promise<void> {
  const start = new SharedArrayBuffer(4);
  const threads = Array.from({ length: lanes }, (_, lane) => {
    const port = storeBoard.openPort();
    const workerData: OverlayWriterData = { shared, lane, lanes, blocks, blockSize, port, start };
    return new Worker(new URL('./overlay-writer.js', import.meta.url), { workerData, transferList: [port] });
  });
  await Promise.all(threads.map((thread) => once(thread, 'exit')));
}
