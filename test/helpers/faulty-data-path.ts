/** The driver's data path, with faults that a test writes into the device's shared memory: a `DataPathModule`. */
import type { MessagePort } from 'node:worker_threads';
import { openDataPath as openReal } from '../../driver/queue/queue-rq.js';
import type { DataPath } from '../../server/backend.js';
import { type Faulty, FaultyBackend } from './memory-backend.js';

/** Int32 words between the device's state and its first lane, which the layout leaves free. */
const FaultWord = { OPERATIONS: 60, ERRNO: 61, ASLEEP: 62 } as const;

const BITS: Readonly<Record<Faulty, number>> = {
  read: 1,
  write: 2,
  flush: 4,
  trim: 8,
  writeZeroes: 16,
  cache: 32,
  fillPipe: 64,
  writeFromPipe: 128,
};

/** From here on these operations on the device fail with a Linux errno. */
export function setFaults(shared: SharedArrayBuffer, errno: number, ...operations: readonly Faulty[]): void {
  const words = new Int32Array(shared);
  Atomics.store(words, FaultWord.ERRNO, errno);
  Atomics.store(
    words,
    FaultWord.OPERATIONS,
    operations.reduce((bits, operation) => bits | BITS[operation], 0),
  );
}

/** From here on every read of the device sleeps, until the returned function is called. */
export function putReadsToSleep(shared: SharedArrayBuffer): () => void {
  const words = new Int32Array(shared);
  Atomics.store(words, FaultWord.ASLEEP, 1);
  return () => {
    Atomics.store(words, FaultWord.ASLEEP, 0);
    Atomics.notify(words, FaultWord.ASLEEP);
  };
}

export const openDataPath = (lane: number, port?: MessagePort): DataPath => {
  const real = openReal(lane, port);
  return {
    ...real,
    attach: (shared) => {
      const words = new Int32Array(shared);
      const backend = new FaultyBackend(real.attach(shared));
      backend.fault = (operation) => {
        if (operation === 'read') Atomics.wait(words, FaultWord.ASLEEP, 1);
        return (Atomics.load(words, FaultWord.OPERATIONS) & BITS[operation]) !== 0
          ? Atomics.load(words, FaultWord.ERRNO)
          : 0;
      };
      return backend;
    },
  };
};
