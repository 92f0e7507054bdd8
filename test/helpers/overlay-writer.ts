/** A thread that writes its own sectors of a device's blocks, all threads at once. */
import { workerData } from 'node:worker_threads';
import { openDataPath } from '../../driver/queue/queue-rq.js';
import { memory } from './file-systems.js';
import type { OverlayWriterData } from './overlay-writers.js';

const { shared, lane, lanes, blocks, blockSize, port, start } = workerData as OverlayWriterData;
const backend = openDataPath(lane, port).attach(shared);
const sector = blockSize / lanes;
const { bytes, address } = memory(sector);
bytes.fill(lane + 1);
const waiting = new Int32Array(start);
Atomics.add(waiting, 0, 1);
while (Atomics.load(waiting, 0) < lanes);
for (let block = 0; block < blocks; block++) {
  backend.enter();
  const errno = backend.write(address, block * blockSize + lane * sector, sector);
  if (errno !== 0) throw new Error(`errno ${errno}`);
  if (block % 64 === lane) backend.flush();
  backend.exit();
}
// Named to the end: what nobody names any more is free to be something else.
if (bytes.some((byte) => byte !== lane + 1)) throw new Error('the memory that is written has changed');
port.close();
