import { Aio } from '../io/aio.js';
import { Batch } from './batch.js';
import { Offload } from './offload.js';

/** Parts a batch may have. */
export const BATCH_PARTS = 64;

/** What the stores of a thread share: each is used by one of them at a time. */
export interface ThreadTools {
  /** Absent where nothing can be started. */
  readonly offload: Offload | undefined;
  /** Absent where every read and write is a system call of its own. */
  readonly batch: Batch | undefined;
  /** Nothing is under way any more. */
  close(): void;
}

export function openThreadTools(): ThreadTools {
  const aio = Aio.open(BATCH_PARTS);
  const offload = Offload.open();
  return {
    offload,
    batch: aio && new Batch(aio),
    close: () => {
      aio?.close();
      offload?.close();
    },
  };
}

/** Where everything is done in place, one by one. */
export const NO_TOOLS: ThreadTools = { offload: undefined, batch: undefined, close: () => {} };
