/** A thread that settles what a volatile cache holds: it waits for the file, which nobody else has to. */
import { ftruncateSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { LogWriter } from '../log/log-writer.js';
import { openStore } from '../open-store.js';
import { NO_TOOLS } from '../thread-tools.js';
import { cut } from './cut.js';
import type { VolatileDescription } from './description.js';
import { SectorMap } from './sector-map.js';
import type { SettleRequest } from './settle-request.js';

const { stores, cache, keep, isLast } = workerData as SettleRequest;
const inside = openStore(stores, {
  tools: NO_TOOLS,
  zeroed: { value: 0, increment: () => {} },
  lane: 0,
});
try {
  // The journal has all of it.
  if (isLast) ftruncateSync(cache.spill, 0);
  const result = cut(inside, cache.journal.fd, keep);
  const errno = inside.flush() || emptied(cache);
  if (errno !== 0) throw new Error(String(errno));
  parentPort?.postMessage({ result });
} catch (error) {
  parentPort?.postMessage({ failure: error instanceof Error ? error.message : String(error) });
}

/** It holds nothing any more; 0 or an errno. */
function emptied({ spill, map, bytes, journal }: VolatileDescription): number {
  new SectorMap(map, bytes).reset();
  const errno = new LogWriter(journal).clear();
  ftruncateSync(spill, 0);
  return errno;
}
