import { useState } from 'preact/hooks';
import type { ConnectionInfo } from '../../../../control/messages.js';
import { clock, many, span } from '../format.js';
import { Table } from '../parts/table.js';
import { store } from '../store.js';
import { useLook } from '../use-look.js';

/** Rows that are shown at most: more are searched, not read. */
const SHOWN = 500;

export function Connections() {
  const { value } = useLook<ConnectionInfo[]>('/connections');
  const [filter, change] = useState('');
  const all = value ?? [];
  const found = all.filter((one) => `${one.peer} ${one.export}`.toLowerCase().includes(filter.toLowerCase()));
  const exports = new Set(all.map((one) => one.export).filter(Boolean)).size;
  return (
    <>
      <div class="head">
        <h1>Connections</h1>
        <p class="totals">
          {value !== undefined && (
            <span>
              <b>{all.length}</b> to {many(exports, 'export')}
            </span>
          )}
        </p>
        <div class="tools">
          <input
            type="search"
            aria-label="Filter by client or export"
            placeholder="Filter"
            value={filter}
            onInput={(event) => change(event.currentTarget.value)}
          />
        </div>
      </div>
      <Table
        label="Connections"
        rows={value === undefined ? undefined : found.slice(0, SHOWN)}
        id={({ id }) => id}
        empty={all.length === 0 ? 'Nobody is connected.' : 'Nothing fits the filter.'}
        columns={[
          { name: 'No.', cell: ({ id }) => id, isNumber: true },
          { name: 'Client', cell: ({ peer }) => <code>{peer}</code> },
          { name: 'Export', cell: (one) => exportLink(one.export) },
          { name: 'Since', cell: ({ since }) => clock(Date.parse(since)) },
          { name: 'For', cell: ({ since }) => span(Date.now() - Date.parse(since)), isNumber: true },
        ]}
      />
      {found.length > SHOWN && <p class="note">{found.length - SHOWN} more: filter.</p>}
    </>
  );
}

function exportLink(name: string) {
  const named = [...store.devices.values()].find((one) => one.name === name || one.exportName === name);
  const number = named?.number;
  if (name === '') return <span class="faint">handshake</span>;
  return number === undefined ? name : <a href={`#/devices/${number}`}>{name}</a>;
}
