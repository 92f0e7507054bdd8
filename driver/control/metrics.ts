/** Prometheus text of the devices' counters and of the process. */

import type { Registry } from 'prom-client';
import type { RemoteFields } from './context.js';
import type { DaemonInfo, DeviceCounters, DeviceStatus } from './messages.js';
import type { Add, Kind, Reader, Sample } from './metric-shapes.js';
import { remoteMetrics } from './remote-metrics.js';

/** What a scrape looks at: every device's state, and the daemon's sessions. */
export interface MetricsSource {
  devices(): Promise<readonly DeviceStatus[]>;
  connections(): number;
  lockReports(): number;
  freezes(): readonly DeviceFreezes[];
  /** Devices of an earlier daemon that could not be brought back. */
  down(): number;
  daemon(): Pick<DaemonInfo, 'version' | 'settings'>;
  /** Devices of other hosts. */
  remotes(): readonly RemoteFields[];
}

export interface DeviceFreezes {
  /** `loopN`. */
  readonly name: string;
  readonly count: number;
  readonly seconds: number;
  readonly isFrozen: boolean;
}

/** prom-client calls gauges so, and sums are not what they are: Prometheus keeps `_total` for counters. */
const MISNAMED = [
  'nodejs_active_handles_total',
  'nodejs_active_requests_total',
  'nodejs_active_resources_total',
];

/** Operation label of each counter of requests. */
const OPERATIONS = {
  reads: 'read',
  writes: 'write',
  flushes: 'flush',
  trims: 'trim',
  writeZeroes: 'write_zeroes',
  caches: 'cache',
  blockStatuses: 'block_status',
} as const satisfies Partial<Record<keyof DeviceCounters, string>>;

/** Loaded at the first scrape: a daemon that nobody scrapes does not pay for it. */
export async function createMetrics(source: MetricsSource): Promise<() => Promise<string>> {
  // Of a CommonJS package in a bundle there is the default export alone.
  const { default: prom } = await import('prom-client');
  const registry = new prom.Registry();
  prom.collectDefaultMetrics({ register: registry });
  for (const name of MISNAMED) registry.removeSingleMetric(name);
  let devices: readonly DeviceStatus[] = [];
  const add = (kind: Kind, name: string, help: string, read: Reader): void =>
    register(registry, kind, `nbdloop_${name}`, help, () => read(devices));

  add('gauge', 'connections', 'NBD connections now.', () => [{ labels: {}, value: source.connections() }]);
  add('counter', 'lock_reports_total', 'Lock-order mistakes reported.', () => [
    { labels: {}, value: source.lockReports() },
  ]);
  add('gauge', 'build_info', 'Version of the daemon; always 1.', () => [
    { labels: { version: source.daemon().version }, value: 1 },
  ]);
  add('gauge', 'settings_rejected', '1 while newer settings cannot be used.', () => [
    { labels: {}, value: source.daemon().settings.error === null ? 0 : 1 },
  ]);
  add('gauge', 'devices_down', 'Devices that could not be brought back after a restart.', () => [
    { labels: {}, value: source.down() },
  ]);
  freezeMetrics(add, source);
  deviceMetrics(add);
  remoteMetrics(add, source.remotes);
  return async () => {
    devices = await source.devices();
    return registry.metrics();
  };
}

function freezeMetrics(add: Add, { freezes }: MetricsSource): void {
  const each =
    (value: (device: DeviceFreezes) => number): Reader =>
    () =>
      freezes().map((device) => ({ labels: { device: device.name }, value: value(device) }));
  add(
    'gauge',
    'device_frozen',
    '1 while the queue is frozen, and requests wait.',
    each(({ isFrozen }) => (isFrozen ? 1 : 0)),
  );
  add(
    'counter',
    'freezes_total',
    'Freezes of the queue.',
    each(({ count }) => count),
  );
  add(
    'counter',
    'frozen_seconds_total',
    'Time in which the queue was frozen.',
    each(({ seconds }) => seconds),
  );
}

function deviceMetrics(add: Add): void {
  const each =
    (value: (device: DeviceStatus) => number): Reader =>
    (devices) =>
      devices.map((device) => ({ labels: { device: device.name }, value: value(device) }));

  add(
    'gauge',
    'device_bound',
    '1 while a file is bound.',
    each((device) => (device.state === 'bound' ? 1 : 0)),
  );
  add(
    'gauge',
    'device_attached',
    '1 while the device is in a kernel.',
    each((device) => (device.node === null ? 0 : 1)),
  );
  add(
    'gauge',
    'device_size_bytes',
    'Size of the device.',
    each((device) => device.size),
  );
  add(
    'gauge',
    'device_openers',
    'Sessions that have the device open.',
    each((device) => device.openers),
  );
  add(
    'gauge',
    'requests_in_flight',
    'Requests being served now.',
    each((device) => device.counters.inFlight),
  );
  add('counter', 'requests_total', 'Requests served.', (devices) =>
    devices.flatMap((device) =>
      Object.entries(OPERATIONS).map(([counter, operation]) => ({
        labels: { device: device.name, operation },
        value: device.counters[counter as keyof typeof OPERATIONS],
      })),
    ),
  );
  add(
    'counter',
    'request_errors_total',
    'Requests answered with an error.',
    each((d) => d.counters.errors),
  );
  add(
    'counter',
    'read_bytes_total',
    'Bytes read by clients.',
    each((d) => d.counters.readBytes),
  );
  add(
    'counter',
    'written_bytes_total',
    'Bytes written by clients.',
    each((d) => d.counters.writtenBytes),
  );
  add(
    'counter',
    'requests_parked_total',
    'Requests that waited for a frozen queue.',
    each((d) => d.counters.parked),
  );
  add(
    'counter',
    'requests_throttled_total',
    'Requests that waited for a limit.',
    each((d) => d.counters.throttled),
  );
  add(
    'counter',
    'throttle_seconds_total',
    'Time that requests waited for a limit.',
    each((d) => d.counters.throttledMs / 1000),
  );
  add(
    'counter',
    'requests_faulted_total',
    'Requests that met a fault.',
    each((d) => d.counters.faulted),
  );
  add('histogram', 'request_duration_seconds', 'Time of a request in the server.', (devices) =>
    devices.flatMap(histogram),
  );
}

/** Bucket i of the data path counts requests under 2^i microseconds; Prometheus wants running totals. */
function histogram(device: DeviceStatus): Sample[] {
  const name = 'nbdloop_request_duration_seconds';
  const { latency } = device.counters;
  const samples: Sample[] = [];
  let total = 0;
  let seconds = 0;
  latency.forEach((count, bucket) => {
    total += count;
    // The middle of the bucket stands for each of its requests: the data path keeps no sum.
    seconds += (count * 0.75 * 2 ** bucket) / 1e6;
    samples.push({
      labels: { device: device.name, le: 2 ** bucket / 1e6 },
      value: total,
      metricName: `${name}_bucket`,
    });
  });
  samples.push({ labels: { device: device.name, le: '+Inf' }, value: total, metricName: `${name}_bucket` });
  samples.push({ labels: { device: device.name }, value: seconds, metricName: `${name}_sum` });
  samples.push({ labels: { device: device.name }, value: total, metricName: `${name}_count` });
  return samples;
}

/**
 * prom-client's own counters only count up from here, and these are counted elsewhere: a metric that is read at
 * each scrape is registered by the shape the registry asks for.
 */
function register(registry: Registry, kind: Kind, name: string, help: string, read: () => Sample[]): void {
  const metric = {
    name,
    help,
    type: kind,
    aggregator: 'sum',
    get: async () => ({ name, help, type: kind, aggregator: 'sum', values: read() }),
    reset: () => undefined,
  };
  registry.registerMetric(metric as unknown as Parameters<Registry['registerMetric']>[0]);
}
