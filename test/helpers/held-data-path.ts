/** The driver's data path, where a test decides when what was started is handed to the kernel: a `DataPathModule`. */
import type { MessagePort } from 'node:worker_threads';
import { openDataPath as openReal } from '../../driver/queue/queue-rq.js';
import type { Completions, DataPath } from '../../server/backend.js';

/** An Int32 word between the device's state and its first lane, which the layout leaves free. */
const HELD = 62;

/** While a device is held, nothing that is started on its thread gets under way. A wake of the pool follows a release. */
export function hold(shared: SharedArrayBuffer, isHeld: boolean): void {
  Atomics.store(new Int32Array(shared), HELD, isHeld ? 1 : 0);
}

export const openDataPath = (lane: number, port?: MessagePort): DataPath => {
  const real = openReal(lane, port);
  const devices: Int32Array[] = [];
  const isHeld = (): boolean => devices.some((words) => Atomics.load(words, HELD) === 1);
  return {
    attach: (shared) => {
      devices.push(new Int32Array(shared));
      return real.attach(shared);
    },
    completions: real.completions && held(real.completions, isHeld),
  };
};

const held = (real: Completions, isHeld: () => boolean): Completions => ({
  fd: real.fd,
  get isReady() {
    return real.isReady;
  },
  limit: real.limit,
  submit: () => isHeld() || real.submit(),
  reap: (onDone) => real.reap(onDone),
});
