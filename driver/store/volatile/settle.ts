import { Worker } from 'node:worker_threads';
import { errnoName, LoopError } from '../../errno.js';
import type { CutResult } from './cut.js';
import type { SettleRequest } from './settle-request.js';

/**
 * Carries over what is kept of a cache, makes it durable, and empties the cache, on a thread of its own. No request is in flight. Rejects
 * with what the file answered; what was carried over until then stays.
 */
export async function settle(request: SettleRequest): Promise<CutResult> {
  const worker = new Worker(new URL('./settle-worker.js', import.meta.url), {
    execArgv: [],
    workerData: request,
    name: 'settle',
  });
  const answer = await new Promise<{ result?: CutResult; failure?: string }>((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  });
  await worker.terminate();
  if (answer.result !== undefined) return answer.result;
  const number = Number(answer.failure);
  if (Number.isInteger(number))
    throw new LoopError(
      errnoName(number),
      `what the volatile cache held could not be written (${errnoName(number)})`,
    );
  throw new LoopError('EIO', `what the volatile cache held could not be written: ${answer.failure}`);
}
