/** nbdloop top: rates of each device between two looks. */

import type { DeviceStatus } from '../control/messages.js';
import { listedName } from './device-name.js';
import { requestsOf } from './status.js';
import { type Cell, type Column, formatTable } from './table.js';
import { humanBytes, humanCount } from './units.js';

const COLUMNS: readonly Column[] = [
  { name: 'DEVICE', align: 'left' },
  { name: 'REQ/S', align: 'right' },
  { name: 'READ/S', align: 'right' },
  { name: 'WRITE/S', align: 'right' },
  { name: 'ERR/S', align: 'right' },
  { name: 'IN FLIGHT', align: 'right' },
  { name: 'P50', align: 'right' },
  { name: 'P99', align: 'right' },
  { name: 'FILE', align: 'left' },
];

/** Rates of what happened in `seconds` between two looks; a device that is new since has no rates yet. */
export function topText(
  before: readonly DeviceStatus[],
  after: readonly DeviceStatus[],
  seconds: number,
): string {
  const earlier = new Map(before.map((device) => [device.number, device]));
  const rows = after
    .filter((device) => device.file !== null)
    .map((device) => row(earlier.get(device.number) ?? device, device, seconds));
  return formatTable(COLUMNS, rows, { format: 'aligned', headings: true, title: 'devices', unicode: true });
}

function row(before: DeviceStatus, after: DeviceStatus, seconds: number): Cell[] {
  const rate = (of: (device: DeviceStatus) => number): number => (of(after) - of(before)) / seconds;
  const latency = after.counters.latency.map((count, at) => count - (before.counters.latency[at] ?? 0));
  return [
    listedName(after),
    humanCount(rate(requestsOf)),
    humanBytes(rate((device) => device.counters.readBytes)),
    humanBytes(rate((device) => device.counters.writtenBytes)),
    humanCount(rate((device) => device.counters.errors)),
    after.counters.inFlight,
    quantile(latency, 0.5),
    quantile(latency, 0.99),
    after.file,
  ];
}

/** Upper bound of the bucket that holds the quantile: bucket i counts requests under 2^i microseconds. */
export function quantile(buckets: readonly number[], share: number): Cell {
  const total = buckets.reduce((sum, count) => sum + count, 0);
  if (total === 0) return null;
  let seen = 0;
  const bucket = buckets.findIndex((count) => {
    seen += count;
    return seen >= total * share;
  });
  const microseconds = 2 ** bucket;
  return microseconds < 1000 ? `<${microseconds} us` : `<${Math.ceil(microseconds / 1000)} ms`;
}
