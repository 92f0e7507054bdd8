/** What a metric is made of, for the files that define some. */
import type { DeviceStatus } from './messages.js';

export type Kind = 'counter' | 'gauge' | 'histogram';
export interface Sample {
  readonly labels: Record<string, string | number>;
  readonly value: number;
  readonly metricName?: string;
}
export type Reader = (devices: readonly DeviceStatus[]) => Sample[];

/** Registers a metric; its name gets `nbdloop_` before it. */
export type Add = (kind: Kind, name: string, help: string, read: Reader) => void;
