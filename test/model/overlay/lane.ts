/** A thread that carries out requests on a device, beside others. */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { openDataPath } from '../../../driver/queue/queue-rq.js';
import type { Backend } from '../../../server/backend.js';
import { memory } from '../../helpers/file-systems.js';
import { LARGEST, type LaneData, type Order, type Planned, type Reported } from './lanes.js';

const { lane, port } = workerData as LaneData;
const path = openDataPath(lane, port);
const { bytes, address } = memory(LARGEST);
const clock = new Int32Array(new SharedArrayBuffer(4));
let backend: Backend | undefined;

function counted(backend: Backend, work: () => number): number {
  // A device that is frozen is thawed by the main thread.
  while (!backend.enter()) Atomics.wait(clock, 0, 0, 0.2);
  try {
    return work();
  } finally {
    backend.exit();
  }
}

/** Writes of which as many as possible go out together; those that must be done alone follow. */
function gather(backend: Backend, { at, data, stride }: Planned & { readonly kind: 'gather' }): number {
  const parts = [...data.keys()].map((index) => ({ index, from: index * stride }));
  for (const { index, from } of parts) bytes.set(data[index] ?? [], from);
  const alone = parts.filter(
    ({ index, from }) => !backend.batchWrite(address + from, at + from, data[index]?.length ?? 0),
  );
  let errno = 0;
  if (alone.length < parts.length && !backend.runBatch()) {
    for (let part = 0; part < parts.length - alone.length; part++) errno ||= backend.batchResult(part);
  }
  for (const { index, from } of alone) {
    errno ||= backend.write(address + from, at + from, data[index]?.length ?? 0);
  }
  return errno;
}

function carryOut(backend: Backend, request: Planned): number {
  switch (request.kind) {
    case 'write':
      bytes.set(request.data);
      return backend.write(address, request.at, request.data.length) || (request.fua ? backend.flush() : 0);
    case 'gather':
      return gather(backend, request);
    case 'trim':
      return backend.trim(request.at, request.length);
    case 'zero':
      return backend.writeZeroes(request.at, request.length, { punch: request.punch, fast: false });
    case 'flush':
      return backend.flush();
    case 'read': {
      const errno = backend.read(address, request.at, request.meant.length);
      const isRight =
        errno !== 0 || Buffer.compare(bytes.subarray(0, request.meant.length), request.meant) === 0;
      return isRight ? errno : -1;
    }
  }
}

function run({ requests, start, lanes }: Order): Reported {
  const waiting = new Int32Array(start);
  Atomics.add(waiting, 0, 1);
  while (Atomics.load(waiting, 0) < lanes);
  const device = backend as Backend;
  const errnos: number[] = [];
  for (const request of requests) {
    const errno = counted(device, () => carryOut(device, request));
    errnos.push(errno);
    if (errno !== 0) break;
  }
  return { errnos };
}

(parentPort as MessagePort).on('message', (message: SharedArrayBuffer | null | Order) => {
  if (message === null || message instanceof SharedArrayBuffer) {
    backend?.close?.();
    backend = message === null ? undefined : path.attach(message);
    parentPort?.postMessage({ errnos: [] } satisfies Reported);
  } else parentPort?.postMessage(run(message));
});
