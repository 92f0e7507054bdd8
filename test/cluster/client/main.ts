/**
 * `main.js HOST PORT NAME JOURNAL SEED`: clients of an export until standard input ends, all in one process, so that one clock
 * orders what they saw. At the end everything is read once more.
 */

import { read, readAll, write } from './clients.js';
import { Journal } from './journal.js';

const WRITERS = 2;
const READERS = 2;

const [host = '', port = '', name = '', path = '', seed = ''] = process.argv.slice(2);
using journal = new Journal(path);
const controller = new AbortController();
process.stdin.resume();
process.stdin.once('close', () => controller.abort());
let last = 0;
const options = { host, port: Number(port), name, journal, seed: Number(seed) };
const running = { ...options, signal: controller.signal };
await Promise.all([
  ...Array.from({ length: WRITERS }, (_, writer) => write(running, writer, () => ++last)),
  ...Array.from({ length: READERS }, (_, reader) => read(running, reader, WRITERS)),
]);
await readAll({ ...options, signal: AbortSignal.timeout(60_000) }, WRITERS);
