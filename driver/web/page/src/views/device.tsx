/** One device: what it does and did, who uses it, what froze it. */

import { useState } from 'preact/hooks';
import type { ConnectionInfo, DeviceFreeze, DeviceStatus } from '../../../../control/messages.js';
import { bytes, clock, count, duration, fileName, span } from '../format.js';
import { type Action, ActionFor } from '../parts/actions.js';
import { Bench, Layers } from '../parts/bench.js';
import { Copy } from '../parts/copy.js';
import { DeviceCharts } from '../parts/device-charts.js';
import { EventList } from '../parts/event-list.js';
import { StateMark } from '../parts/state.js';
import { Table } from '../parts/table.js';
import { store, useStore } from '../store.js';
import { useHistory } from '../use-history.js';
import { useLook } from '../use-look.js';

export function DeviceView({ number }: { number: number }) {
  const { devices, samples, isComplete } = useStore();
  const [action, act] = useState<Action | null>(null);
  const [tier, choose] = useState<'fine' | 'coarse'>('fine');
  const device = devices.get(number);
  const history = useHistory(number, tier, device !== undefined);
  if (device === undefined) return <Missing number={number} isKnown={isComplete} />;
  const sample = samples.get(number);
  const openers = sample?.openers ?? device.openers;
  const node = sample === undefined ? device.node : sample.node;
  return (
    <>
      <div class="head">
        <h1>{device.name}</h1>
        <StateMark device={device} sample={sample} />
        <p class="file">
          <code>{device.file === null ? 'no file' : fileName(device.file)}</code>
        </p>
        <Tools device={device} act={act} />
      </div>
      <Trouble number={number} />
      {device.warnings.map((warning) => (
        <p key={warning} class="warning">
          {warning}
        </p>
      ))}
      <dl class="facts">
        <Fact name="Size">
          {device.state === 'bound' ? (
            <>
              {bytes(device.size)} <small>{device.size} bytes</small>
            </>
          ) : (
            '–'
          )}
        </Fact>
        <Fact name="Openers">{openers}</Fact>
        <Fact name="In flight">{count(sample?.inFlight ?? device.counters.inFlight)}</Fact>
        <Fact name="Node">{node ?? 'not attached'}</Fact>
        <Fact name="Blocks">{device.blockSize} bytes</Fact>
        <Fact name="Part of the file">
          {device.offset === 0 && device.sizeLimit === 0
            ? 'all'
            : `from ${device.offset}${device.sizeLimit === 0 ? '' : `, at most ${bytes(Number(device.sizeLimit))}`}`}
        </Fact>
        <Fact name="Flags">{flagsOf(device)}</Fact>
        {device.exportName !== null && (
          <Fact name="Name of the export" isWide>
            {fileName(device.exportName)}
          </Fact>
        )}
        {device.description !== null && (
          <Fact name="Description" isWide>
            {fileName(device.description)}
          </Fact>
        )}
        <Fact name="Address" isWide>
          {device.uris.map((uri) => (
            <code key={uri}>{uri}</code>
          ))}
        </Fact>
      </dl>
      <div class="section-head">
        <h2>What it did</h2>
        <fieldset class="switch">
          <legend class="hidden">Time shown</legend>
          {(['fine', 'coarse'] as const).map((one) => (
            <label key={one} class={tier === one ? 'on' : undefined}>
              <input type="radio" name="tier" checked={tier === one} onInput={() => choose(one)} />
              {one === 'fine' ? '10 minutes' : '4 hours'}
            </label>
          ))}
        </fieldset>
      </div>
      <DeviceCharts history={history} />
      <div class="columns">
        <Freezes number={number} />
        <Sessions device={device} />
      </div>
      {device.state === 'bound' && <Bench device={device} act={act} />}
      {device.state === 'bound' && <Copy device={device} act={act} />}
      <Layers device={device} />
      <section>
        <h2>Events</h2>
        <EventList device={number} limit={30} />
      </section>
      {action !== null && <ActionFor action={action} close={() => act(null)} />}
    </>
  );
}

function Missing({ number, isKnown }: { number: number; isKnown: boolean }) {
  const down = store.unrecovered.find((one) => one.number === number);
  return (
    <>
      <div class="head">
        <h1>loop{number}</h1>
      </div>
      {down !== undefined ? (
        <p class="warning">
          It could not be brought back from <code>{fileName(down.file)}</code>: {down.message}
        </p>
      ) : (
        <p class="faint">{isKnown ? 'There is no such device.' : 'Waiting for the daemon.'}</p>
      )}
    </>
  );
}

function Tools({ device, act }: { device: DeviceStatus; act: (action: Action) => void }) {
  if (device.state !== 'bound') {
    return (
      <div class="tools">
        <button type="button" class="primary" onClick={() => act({ kind: 'bind', number: device.number })}>
          Bind a file…
        </button>
      </div>
    );
  }
  return (
    <div class="tools">
      <button type="button" onClick={() => act({ kind: 'direct-io', device })}>
        Direct I/O {device.directIo ? 'off' : 'on'}…
      </button>
      <button type="button" onClick={() => act({ kind: 'capacity', device })}>
        Capacity…
      </button>
      <button type="button" onClick={() => act({ kind: 'snapshot', device })}>
        Snapshot…
      </button>
      <button type="button" class="danger" onClick={() => act({ kind: 'let-go', device })}>
        Let go…
      </button>
    </div>
  );
}

function Trouble({ number }: { number: number }) {
  const sample = store.samples.get(number);
  if (sample === undefined || sample.trouble === null) return null;
  const since = `since ${clock(sample.since)}, for ${span((store.sample?.at ?? Date.now()) - sample.since)}`;
  return (
    <p class="warning" role="status">
      {sample.trouble === 'stalled'
        ? `It answers nothing, ${since}, while requests are in flight.`
        : `It is slow ${since}: one request of a hundred took 65 ms or more.`}
    </p>
  );
}

function Fact({
  name,
  isWide,
  children,
}: {
  name: string;
  isWide?: boolean;
  children: preact.ComponentChildren;
}) {
  return (
    <div class={isWide ? 'wide' : undefined}>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function flagsOf({ readOnly, directIo, autoclear, partscan }: DeviceStatus): string {
  const flags = [
    readOnly ? 'read-only' : '',
    directIo ? 'direct I/O' : '',
    autoclear ? 'lets go at the last close' : '',
    partscan ? 'partitions' : '',
  ].filter(Boolean);
  return flags.length === 0 ? 'none' : flags.join(', ');
}

function Freezes({ number }: { number: number }) {
  const { samples } = useStore();
  const { value } = useLook<DeviceFreeze[]>(`/devices/${number}/freezes`);
  const total = samples.get(number)?.freezes ?? 0;
  return (
    <section>
      <h2>
        Freezes <small>{total > 0 && `${count(total)} since it was added`}</small>
      </h2>
      <Table
        label="Freezes"
        rows={value?.slice(0, 12)}
        id={(freeze) => freeze.number}
        empty="It was not frozen."
        columns={[
          { name: 'When', cell: ({ at }) => clock(at) },
          { name: 'By', cell: ({ by }) => <code>{by.replace(/ \(#\d+\)$/, '')}</code> },
          {
            name: 'Drained in',
            cell: ({ drained }) => (drained === null ? 'not yet' : duration(drained * 1000)),
            isNumber: true,
          },
          {
            name: 'Held',
            cell: ({ held }) => (held === null ? 'still' : duration(held * 1000)),
            isNumber: true,
          },
          { name: 'Waited', cell: ({ waited }) => (waited === 0 ? 'none' : count(waited)), isNumber: true },
        ]}
      />
      {value !== undefined && value.length > 0 && (
        <p class="note">Held: the longest that a request waited. Waited: requests that came meanwhile.</p>
      )}
    </section>
  );
}

function Sessions({ device }: { device: DeviceStatus }) {
  const { value } = useLook<ConnectionInfo[]>('/connections');
  const sessions = value?.filter((one) => one.export === device.name || one.export === device.exportName);
  return (
    <section>
      <h2>
        Sessions <small>{sessions !== undefined && sessions.length > 0 && sessions.length}</small>
      </h2>
      <Table
        label="Sessions"
        rows={sessions?.slice(0, 50)}
        id={({ id }) => id}
        empty="Nobody has it open."
        columns={[
          { name: 'Client', cell: ({ peer }) => <code>{peer}</code> },
          { name: 'Since', cell: ({ since }) => clock(Date.parse(since)) },
          { name: 'For', cell: ({ since }) => span(Date.now() - Date.parse(since)), isNumber: true },
        ]}
      />
    </section>
  );
}
