/**
 * `main.js HOST PORT NAME JOURNAL SEED FIRST_SLOT`: clients of an export until SIGTERM, all in one process, so that one clock
 * orders what they saw. At the end everything is read once more.
 */

import { READERS, read, readAll, WRITERS, write } from './clients.js';
import { Journal } from './journal.js';

const [host = '', port = '', name = '', path = '', seed = '', firstSlot = ''] = process.argv.slice(2);
using journal = new Journal(path);
const controller = new AbortController();
process.once('SIGTERM', () => controller.abort());
let last = 0;
const options = { host, port: Number(port), name, journal, seed: Number(seed), firstSlot: Number(firstSlot) };
const running = { ...options, signal: controller.signal };
await Promise.all([
  ...Array.from({ length: WRITERS }, (_, writer) => write(running, writer, () => ++last)),
  ...Array.from({ length: READERS }, (_, reader) => read(running, reader, WRITERS)),
]);
await readAll({ ...options, signal: AbortSignal.timeout(60_000) }, WRITERS);
