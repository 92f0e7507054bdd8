/** A thread that settles what a volatile cache holds: it waits for the file, which nobody else has to. */
import { parentPort, workerData } from 'node:worker_threads';
import { openStore } from '../open-store.js';
import { NO_TOOLS } from '../thread-tools.js';
import { cut } from './cut.js';
import type { SettleRequest } from './settle-request.js';

const { stores, journal, keep } = workerData as SettleRequest;
const inside = openStore(stores, {
  tools: NO_TOOLS,
  zeroed: { value: 0, increment: () => {} },
  lane: 0,
});
try {
  const result = cut(inside, journal, keep);
  const errno = inside.flush();
  if (errno !== 0) throw new Error(String(errno));
  parentPort?.postMessage({ result });
} catch (error) {
  parentPort?.postMessage({ failure: error instanceof Error ? error.message : String(error) });
}
