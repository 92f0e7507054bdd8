import type { LogDescription } from '../log/log-writer.js';

/** What a device publishes of its volatile cache. */
export interface VolatileDescription {
  /** An unnamed file: each sector at its own place. */
  readonly spill: number;
  readonly tellsHoles: boolean;
  /** Every write since the last flush, in order, in a file without a name. */
  readonly journal: LogDescription;
  /** Bytes of the store that it covers; what lies behind is not kept apart. */
  readonly bytes: number;
  readonly map: SharedArrayBuffer;
}
