/** What a device did over time. */

import type { DeviceHistory } from '../../../live-messages.js';
import { bytesPerSecond, count, duration } from '../format.js';
import { Chart } from './chart.js';
import { Heat } from './heat.js';

export function DeviceCharts({ history }: { history: DeviceHistory | undefined }) {
  if (history === undefined) {
    return (
      <div class="charts placeholder">
        <p class="faint">Waiting for the daemon.</p>
      </div>
    );
  }
  const { rates, period, end } = history;
  if (rates.reads.length === 0) return <p class="faint">Nothing yet: the first minute is not over.</p>;
  const times = rates.reads.map((_, at) => (end - (rates.reads.length - 1 - at) * period) / 1000);
  const latencies = (values: readonly number[]): (number | null)[] =>
    values.map((value) => (value === 0 ? null : value));
  return (
    <div class="charts">
      <Chart
        title="Requests a second"
        times={times}
        together="device"
        format={count}
        lines={[
          { name: 'read', colour: 'read', values: rates.reads },
          { name: 'write', colour: 'write', values: rates.writes },
          ...(rates.errors.some((value) => value > 0)
            ? [{ name: 'errors', colour: 'bad', values: rates.errors }]
            : []),
        ]}
      />
      <Chart
        title="Bytes a second"
        isBytes
        times={times}
        together="device"
        format={bytesPerSecond}
        lines={[
          { name: 'read', colour: 'read', values: rates.readBytes },
          { name: 'write', colour: 'write', values: rates.writtenBytes },
        ]}
      />
      <Chart
        title="Latency"
        times={times}
        together="device"
        format={(value) => (value === 0 ? '–' : duration(value))}
        logarithmic
        lines={[
          { name: 'p50', colour: 'p50', values: latencies(rates.p50) },
          { name: 'p99', colour: 'p99', values: latencies(rates.p99) },
        ]}
      />
      <Heat history={history} />
    </div>
  );
}
