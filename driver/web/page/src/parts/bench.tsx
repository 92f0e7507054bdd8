/** Faults and limits of a device, and the layers of an overlay. */

import type {
  DeviceStatus,
  FaultState,
  FaultsAnswer,
  LayerAnswer,
  Limits,
} from '../../../../control/messages.js';
import { bytes, count, duration, fileName } from '../format.js';
import { useLook } from '../use-look.js';
import type { Action } from './actions.js';
import { Table } from './table.js';

export function Bench({ device, act }: { device: DeviceStatus; act: (action: Action) => void }) {
  const { value } = useLook<FaultsAnswer>(`/devices/${device.number}/faults`);
  const rules = value?.rules;
  const limits = limitsText(device.limits);
  return (
    <section>
      <div class="section-head">
        <h2>Faults and limits</h2>
        <div class="tools small">
          <button type="button" onClick={() => act({ kind: 'fault', device })}>
            Fault…
          </button>
          {rules !== undefined && rules.length > 0 && (
            <button type="button" onClick={() => act({ kind: 'no-faults', device })}>
              No faults…
            </button>
          )}
          {rules?.some(({ held }) => held > 0) && (
            <button type="button" onClick={() => act({ kind: 'release-faults', device })}>
              Release what hangs…
            </button>
          )}
          <button type="button" onClick={() => act({ kind: 'limits', device })}>
            Limits…
          </button>
          <button type="button" onClick={() => act({ kind: 'volatile-cache', device })}>
            Volatile cache {device.volatileCache ? 'off' : 'on'}…
          </button>
          <button type="button" onClick={() => act({ kind: 'power-cut', device })}>
            Power cut…
          </button>
        </div>
      </div>
      {device.volatileCache && (
        <p class="limits">Its cache is volatile: what no flush has asked for is lost with the power.</p>
      )}
      {limits !== '' && <p class="limits">At most {limits}.</p>}
      <Table
        label="Fault rules"
        rows={rules}
        id={({ id }) => id}
        empty={limits === '' ? 'None: it does what its file does.' : 'No faults.'}
        columns={[
          { name: 'Rule', cell: ({ id }) => <code>{id}</code> },
          { name: 'Does', cell: (rule) => ruleText(rule) },
          { name: 'To', cell: ({ operations }) => operations.join(', ') },
          { name: 'Seen', cell: ({ seen }) => count(seen), isNumber: true },
          { name: 'Hit', cell: ({ hits }) => count(hits), isNumber: true },
          {
            name: 'Held',
            cell: ({ held }) => (held === 0 ? '–' : <b class="warn-text">{count(held)}</b>),
            isNumber: true,
          },
          {
            name: 'Remove',
            cell: ({ id }) => (
              <button
                type="button"
                aria-label={`Remove rule ${id}`}
                onClick={() => act({ kind: 'remove-fault', device, rule: id })}
              >
                Remove…
              </button>
            ),
          },
        ]}
      />
    </section>
  );
}

function ruleText({ kind, errno, delay, probability }: FaultState): string {
  const chance = probability === 1 ? '' : `, ${Math.round(probability * 1000) / 10} % of them`;
  if (kind === 'errno') return `${errno}${chance}`;
  if (kind !== 'delay' || delay === null) return `${kind}${chance}`;
  const { distribution } = delay;
  return `${distribution === 'fixed' ? duration(delay.ms * 1000) : distribution} delay${chance}`;
}

export function limitsText(limits: Limits): string {
  const rate = (value: number | null, format: (value: number) => string, what: string): string =>
    value === null ? '' : `${format(value)} ${what}`;
  return [
    rate(limits.iops, count, 'requests/s'),
    rate(limits.iopsRead, count, 'reads/s'),
    rate(limits.iopsWrite, count, 'writes/s'),
    rate(limits.bytes, bytes, 'a second'),
    rate(limits.bytesRead, bytes, 'read a second'),
    rate(limits.bytesWrite, bytes, 'written a second'),
  ]
    .filter(Boolean)
    .join(', ');
}

/** From the top to the base. */
export function Layers({ device }: { device: DeviceStatus }) {
  const isOverlay = device.layers > 1;
  const { value } = useLook<LayerAnswer[]>(isOverlay ? `/devices/${device.number}/layers` : null);
  if (!isOverlay || value === undefined) return null;
  return (
    <section>
      <h2>
        Layers <small>the first that holds a block has it</small>
      </h2>
      <ol class="layers">
        {value.map((layer, at) => (
          <li key={`${layer.device} ${layer.inode}`}>
            <span class="kind">{layer.kind === 'base' ? 'base' : at === 0 ? 'delta, written' : 'delta'}</span>
            <code>{fileName(layer.path)}</code>
            <LayerShare layer={layer} />
          </li>
        ))}
      </ol>
    </section>
  );
}

export function LayerShare({ layer: { heldBytes, size } }: { layer: LayerAnswer }) {
  if (heldBytes === null) return <span class="faint">{bytes(size)}</span>;
  const share = size === 0 ? 0 : heldBytes / size;
  return (
    <span class="share">
      <meter min={0} max={1} value={share} aria-label={`holds ${Math.round(share * 100)} percent`} />
      <span class="faint">
        holds {bytes(heldBytes)} of {bytes(size)}
      </span>
    </span>
  );
}
