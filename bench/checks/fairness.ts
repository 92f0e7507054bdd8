import { runFio } from '../clients/fio.js';
import { nbdloop } from '../servers/nbdloop.js';
import { FAIR_P99_LIMIT } from '../targets.js';
import type { FioLoad } from '../workloads.js';
import type { Check } from './check.js';

const SECONDS = 10;
const small: FioLoad = { client: 'fio', pattern: 'randread', blockSize: 4096, depth: 1, connections: 1 };
const large: FioLoad = { client: 'fio', pattern: 'read', blockSize: 1024 * 1024, depth: 16, connections: 1 };

/** A client with one small request at a time beside one with sixteen large ones. */
export const checkFairness: Check = async ({ site, signal, progress }) => {
  const server = await nbdloop.start(site);
  try {
    progress('a small client beside a large one');
    const options = { seed: 1, direct: false, signal };
    const [beside, bulk] = await Promise.all([
      runFio(server.address, small, { ...options, runtime: SECONDS }),
      runFio(server.address, large, { ...options, runtime: SECONDS + 1 }),
    ]);
    const p99 = (beside.latency?.p99 ?? Number.NaN) / 1000;
    const says =
      `4 KiB depth 1 beside 1 MiB depth 16: p99 ${p99.toFixed(2)} ms, under ${FAIR_P99_LIMIT} ms, ` +
      `${Math.round((beside.requests ?? 0) / beside.seconds)} IOPS beside ${Math.round(bulk.bytes / bulk.seconds / 1e6)} MB/s`;
    return { name: 'fairness', reached: p99 < FAIR_P99_LIMIT, says };
  } finally {
    await server.stop();
  }
};
