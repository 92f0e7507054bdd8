/** Metrics of devices of other hosts: labelled by the kernel's name, `nbdN`. */
import type { RemoteFields } from './context.js';
import type { RemoteState } from './messages.js';
import type { Add, Reader } from './metric-shapes.js';

const STATES: readonly RemoteState[] = ['negotiating', 'attached', 'lost', 'waiting', 'given-up'];

export function remoteMetrics(add: Add, remotes: () => readonly RemoteFields[]): void {
  const nameOf = ({ record }: RemoteFields): string => `nbd${record.number}`;
  const each =
    (value: (remote: RemoteFields) => number): Reader =>
    () =>
      remotes().map((remote) => ({ labels: { device: nameOf(remote) }, value: value(remote) }));
  add('gauge', 'remote_state', '1 for the state that a device of another host is in.', () =>
    remotes().flatMap((remote) =>
      STATES.map((state) => ({
        labels: { device: nameOf(remote), state },
        value: remote.state === state ? 1 : 0,
      })),
    ),
  );
  add(
    'counter',
    'remote_losses_total',
    'How often the connection to another host was lost.',
    each(({ losses }) => losses),
  );
  add(
    'counter',
    'remote_away_seconds_total',
    'Time in which the export of another host was not attached, and requests waited.',
    each(({ awayMs }) => awayMs / 1000),
  );
  add(
    'gauge',
    'remote_size_bytes',
    'Size of the export of another host.',
    each(({ record }) => record.facts.size),
  );
}
