/** Devices of other hosts, attached here by their addresses. */

import { useState } from 'preact/hooks';
import { bytes, span } from '../format.js';
import { type RemoteAction, RemoteActionFor } from '../parts/remote-actions.js';
import { REMOTE_STATES } from '../parts/remote-state.js';
import { Mark } from '../parts/state.js';
import { Table } from '../parts/table.js';
import { useStore } from '../store.js';

export function Remotes() {
  const { remotes, isComplete } = useStore();
  const [action, act] = useState<RemoteAction | null>(null);
  const all = [...remotes.values()].sort((a, b) => a.number - b.number);
  return (
    <>
      <div class="head">
        <h1>Other hosts</h1>
        <p class="totals">
          {all.length > 0 && (
            <span>
              <b>{all.filter(({ state }) => state === 'attached').length}</b> of {all.length} attached
            </span>
          )}
        </p>
        <div class="tools">
          <button type="button" class="primary" onClick={() => act({ kind: 'attach' })}>
            Attach an address…
          </button>
        </div>
      </div>
      <Table
        label="Devices of other hosts"
        rows={isComplete || all.length > 0 ? all : undefined}
        id={({ number }) => number}
        empty="No export of another host is attached here. nbdloop attach nbd://HOST/NAME does it, too."
        columns={[
          { name: 'Device', cell: ({ node, number }) => node ?? <span class="faint">nbd{number}</span> },
          {
            name: 'State',
            cell: ({ state }) => <Mark tone={REMOTE_STATES[state][0]} word={REMOTE_STATES[state][1]} />,
          },
          { name: 'For', cell: ({ since }) => span(Date.now() - Date.parse(since)), isNumber: true },
          { name: 'Address', cell: ({ uri }) => <code>{uri}</code> },
          { name: 'Size', cell: ({ size }) => bytes(size), isNumber: true },
          { name: 'Losses', cell: ({ losses }) => losses, isNumber: true },
          { name: 'Why', cell: ({ message, errno }) => (message === null ? '' : `${message} (${errno})`) },
          {
            name: 'Detach',
            cell: (remote) => (
              <button
                type="button"
                aria-label={`Detach ${remote.node ?? remote.uri}`}
                onClick={() => act({ kind: 'detach', remote })}
              >
                Detach…
              </button>
            ),
          },
        ]}
      />
      {action !== null && <RemoteActionFor action={action} close={() => act(null)} />}
    </>
  );
}
