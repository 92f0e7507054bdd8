/**
 * `main.js work|read HOST JOURNAL SEED FIRST_SLOT PORT/NAME...`: clients of exports until SIGTERM, all in one process, so that one
 * clock orders what they saw. At the end everything is read once more, and `read` does nothing else.
 */

import { type ClientOptions, READERS, read, readAll, SLOTS_EACH, WRITERS, write } from './clients.js';
import { Journal } from './journal.js';

const [task, host = '', path = '', seed = '', firstSlot = '', ...devices] = process.argv.slice(2);
using journal = new Journal(path);
const controller = new AbortController();
process.once('SIGTERM', () => controller.abort());
let last = 0;
const exports = devices.map((device, index): Omit<ClientOptions, 'signal'> => {
  const [port = '', name = ''] = device.split('/');
  return {
    host,
    port: Number(port),
    name,
    journal,
    pause: devices.length,
    seed: Number(seed) + index,
    firstSlot: Number(firstSlot) + index * SLOTS_EACH,
  };
});
const working = task === 'work' ? exports : [];
await Promise.all(
  working.flatMap((one) => {
    const running = { ...one, signal: controller.signal };
    return [
      ...Array.from({ length: WRITERS }, (_, writer) => write(running, writer, () => ++last)),
      ...Array.from({ length: READERS }, (_, reader) => read(running, reader, WRITERS)),
    ];
  }),
);
await Promise.all(exports.map((one) => readAll({ ...one, signal: AbortSignal.timeout(60_000) }, WRITERS)));
