/** All devices: what each is, and what it does now. */

import { useEffect, useRef, useState } from 'preact/hooks';
import type { DeviceStatus } from '../../../../control/messages.js';
import type { DeviceSample } from '../../../live-messages.js';
import { below, bytes, bytesPerSecond, count, fileName } from '../format.js';
import { type Action, ActionFor } from '../parts/actions.js';
import { Attention } from '../parts/attention.js';
import { Spark } from '../parts/spark.js';
import { StateMark, shownState } from '../parts/state.js';
import { store, useStore } from '../store.js';

interface Row {
  readonly device: DeviceStatus;
  readonly sample: DeviceSample | undefined;
}

interface Column {
  readonly id: string;
  readonly name: string;
  /** What is sorted by. */
  readonly by: (row: Row) => number | string;
  readonly isNumber?: boolean;
}

/** Of these the most is looked for. */
const isDescending = ({ id, isNumber }: Column, { isReversed }: Choice): boolean =>
  (isNumber === true || id === 'spark') !== isReversed;

const TONES = { bad: 0, warn: 1, good: 2, idle: 3 } as const;

const COLUMNS: readonly Column[] = [
  { id: 'name', name: 'Device', by: ({ device }) => device.number },
  { id: 'state', name: 'State', by: ({ device, sample }) => TONES[shownState(device, sample).tone] },
  { id: 'file', name: 'File', by: ({ device }) => device.file ?? '\uffff' },
  { id: 'size', name: 'Size', by: ({ device }) => -device.size, isNumber: true },
  { id: 'rate', name: 'Req/s', by: ({ sample }) => -requests(sample), isNumber: true },
  { id: 'read', name: 'Read', by: ({ sample }) => -(sample?.readBytes ?? 0), isNumber: true },
  { id: 'write', name: 'Write', by: ({ sample }) => -(sample?.writtenBytes ?? 0), isNumber: true },
  { id: 'p50', name: 'p50', by: ({ sample }) => -(sample?.p50 ?? 0), isNumber: true },
  { id: 'p99', name: 'p99', by: ({ sample }) => -(sample?.p99 ?? 0), isNumber: true },
  {
    id: 'openers',
    name: 'Openers',
    by: ({ device, sample }) => -(sample?.openers ?? device.openers),
    isNumber: true,
  },
  { id: 'node', name: 'Node', by: ({ device, sample }) => nodeOf({ device, sample }) ?? '\uffff' },
  { id: 'spark', name: 'Last 2 min', by: ({ sample }) => -requests(sample) },
];

const requests = (sample: DeviceSample | undefined): number => (sample?.reads ?? 0) + (sample?.writes ?? 0);
const nodeOf = ({ device, sample }: Row): string | null => (sample === undefined ? device.node : sample.node);

/** Pixels; the same in the style sheet. */
const ROW = { wide: 34, narrow: 58 } as const;
const NARROW = '(max-width: 840px)';
/** Rows beyond what is seen, so that the keyboard finds a next one. */
const MORE = 12;

/** What was chosen stays while another view is looked at. */
let chosen = { sort: 'name', isReversed: false, filter: '' };

export function Overview() {
  const { devices, samples, isComplete } = useStore();
  const [choice, choose] = useState(chosen);
  const [action, act] = useState<Action | null>(null);
  chosen = choice;
  const rows = rowsOf([...devices.values()], samples, choice);
  const bound = [...devices.values()].filter(({ state }) => state === 'bound').length;
  return (
    <>
      <div class="head">
        <h1>Devices</h1>
        <Totals bound={bound} />
        <div class="tools">
          <input
            type="search"
            aria-label="Filter by name, file, state or node"
            placeholder="Filter"
            value={choice.filter}
            onInput={(event) => choose({ ...choice, filter: event.currentTarget.value })}
          />
          <button type="button" class="primary" onClick={() => act({ kind: 'bind' })}>
            Bind a file…
          </button>
        </div>
      </div>
      <Attention />
      {devices.size === 0 ? (
        <p class="faint empty">
          {isComplete ? (
            <>
              No device yet. Bind a file, or run <code>nbdlosetup -f FILE</code>.
            </>
          ) : (
            'Waiting for the daemon.'
          )}
        </p>
      ) : (
        <Rows rows={rows} choice={choice} choose={choose} />
      )}
      {action !== null && <ActionFor action={action} close={() => act(null)} />}
    </>
  );
}

function Totals({ bound }: { bound: number }) {
  const { overall, devices } = store;
  const now = overall.at(-1);
  if (now === undefined) return <p class="totals" />;
  return (
    <p class="totals">
      <span>
        <b>{bound}</b> of {devices.size} {devices.size === 1 ? 'device' : 'devices'} bound
      </span>
      <span>
        <b>{count(now.reads + now.writes)}</b> requests/s
      </span>
      <span>
        read <b>{bytesPerSecond(now.readBytes)}</b>
      </span>
      <span>
        write <b>{bytesPerSecond(now.writtenBytes)}</b>
      </span>
    </p>
  );
}

type Choice = typeof chosen;

function rowsOf(devices: DeviceStatus[], samples: ReadonlyMap<number, DeviceSample>, choice: Choice): Row[] {
  const words = choice.filter.toLowerCase().split(/\s+/).filter(Boolean);
  const rows = devices
    .map((device): Row => ({ device, sample: samples.get(device.number) }))
    .filter((row) => words.every((word) => textOf(row).includes(word)));
  const { by } = COLUMNS.find(({ id }) => id === choice.sort) ?? { by: ({ device }: Row) => device.number };
  const sign = choice.isReversed ? -1 : 1;
  return rows.sort((a, b) => sign * compare(by(a), by(b)) || a.device.number - b.device.number);
}

const textOf = (row: Row): string =>
  `${row.device.name} ${row.device.exportName ?? ''} ${row.device.file ?? ''} ${shownState(row.device, row.sample).word} ${nodeOf(row) ?? ''}`.toLowerCase();

const compare = (a: number | string, b: number | string): number =>
  typeof a === 'number' && typeof b === 'number' ? a - b : String(a).localeCompare(String(b));

interface RowsProps {
  readonly rows: readonly Row[];
  readonly choice: Choice;
  readonly choose: (choice: Choice) => void;
}

/** Only those rows are there that can be seen: a thousand are no more work than thirty. */
function Rows({ rows, choice, choose }: RowsProps) {
  const place = useRef<HTMLDivElement>(null);
  const [seen, see] = useState({ first: 0, last: 40 });
  const height = matchMedia(NARROW).matches ? ROW.narrow : ROW.wide;
  useEffect(() => {
    const look = (): void => {
      const top = place.current?.getBoundingClientRect().top ?? 0;
      const first = Math.max(0, Math.floor(-top / height) - MORE);
      const last = Math.ceil((innerHeight - top) / height) + MORE;
      see((before) => (before.first === first && before.last === last ? before : { first, last }));
    };
    look();
    addEventListener('scroll', look, { passive: true });
    addEventListener('resize', look);
    return () => {
      removeEventListener('scroll', look);
      removeEventListener('resize', look);
    };
  }, [height]);
  const shown = rows.slice(seen.first, seen.last);
  const sortBy = (id: string): void =>
    choose({ ...choice, sort: id, isReversed: choice.sort === id && !choice.isReversed });
  return (
    // biome-ignore lint/a11y/useSemanticElements: rows that are not there must be counted, and lie in a grid
    <div class="devices" role="table" aria-label="Devices" aria-rowcount={rows.length + 1}>
      {/* biome-ignore lint/a11y/useSemanticElements: as above */}
      <div role="rowgroup">
        {/* biome-ignore lint/a11y/useSemanticElements: as above */}
        <div role="row" class="heading" aria-rowindex={1} tabIndex={-1}>
          {COLUMNS.map((column) => {
            const { id, name, isNumber } = column;
            const order =
              choice.sort !== id ? undefined : isDescending(column, choice) ? 'descending' : 'ascending';
            return (
              // biome-ignore lint/a11y/useSemanticElements: as above
              <span
                key={id}
                role="columnheader"
                class={`${id}${isNumber ? ' number' : ''}`}
                aria-sort={order}
                tabIndex={-1}
              >
                <button type="button" onClick={() => sortBy(id)}>
                  {name}
                  <span aria-hidden="true">
                    {order === undefined ? '' : order === 'descending' ? ' ▾' : ' ▴'}
                  </span>
                </button>
              </span>
            );
          })}
        </div>
      </div>
      {/* biome-ignore lint/a11y/useSemanticElements: as above */}
      <div role="rowgroup" ref={place} class="body" style={{ height: `${rows.length * height}px` }}>
        {shown.map((row, at) => (
          <DeviceRow key={row.device.number} row={row} at={seen.first + at} height={height} />
        ))}
      </div>
      {rows.length === 0 && <p class="faint empty">Nothing fits the filter.</p>}
    </div>
  );
}

/** What is not there does not draw the eye. */
const quiet = (value: number, format: (value: number) => string): preact.ComponentChild =>
  value === 0 ? <span class="faint">–</span> : format(value);

function DeviceRow({ row, at, height }: { row: Row; at: number; height: number }) {
  const { device, sample } = row;
  const cells: Readonly<Record<string, preact.ComponentChild>> = {
    name: <a href={`#/devices/${device.number}`}>{device.name}</a>,
    state: <StateMark device={device} sample={sample} />,
    file: (
      <bdi title={fileName(device.file ?? '')}>
        {device.exportName !== null && <b>{fileName(device.exportName)} </b>}
        {device.file === null ? '–' : fileName(device.file)}
      </bdi>
    ),
    size: quiet(device.size, bytes),
    rate: quiet(requests(sample), count),
    read: quiet(sample?.readBytes ?? 0, bytesPerSecond),
    write: quiet(sample?.writtenBytes ?? 0, bytesPerSecond),
    p50: quiet(sample?.p50 ?? 0, below),
    p99: quiet(sample?.p99 ?? 0, below),
    openers: quiet(sample?.openers ?? device.openers, count),
    node: nodeOf(row) ?? <span class="faint">–</span>,
    spark: (
      <Spark
        values={store.sparks.get(device.number)}
        label={`Requests of ${device.name} in the last two minutes, now ${count(requests(sample))} a second`}
      />
    ),
  };
  return (
    // biome-ignore lint/a11y/useSemanticElements: see Rows
    <div
      role="row"
      class="row"
      aria-rowindex={at + 2}
      style={{ transform: `translateY(${at * height}px)` }}
      tabIndex={-1}
    >
      {COLUMNS.map(({ id, isNumber }) => (
        // biome-ignore lint/a11y/useSemanticElements: see Rows
        <span key={id} role="cell" class={`${id}${isNumber ? ' number' : ''}`}>
          {cells[id]}
        </span>
      ))}
    </div>
  );
}
