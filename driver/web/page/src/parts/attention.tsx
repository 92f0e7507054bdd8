/** What somebody should look at: nothing is there when all is well. */

import { clock, duration, fileName, span } from '../format.js';
import { store, useStore } from '../store.js';
import { REMOTE_STATES } from './remote-state.js';

export function Attention() {
  useStore();
  const notes = [...troubles(), ...down(), ...away(), ...settings()];
  if (notes.length === 0) return null;
  return (
    <section class="attention" aria-label="Needs attention">
      <ul>
        {notes.slice(0, 8).map(({ id, tone, href, name, text }) => (
          <li key={id} class={tone}>
            <span class="dot" aria-hidden="true" />
            {href === undefined ? <b>{name}</b> : <a href={href}>{name}</a>} <span>{text}</span>
          </li>
        ))}
      </ul>
      {notes.length > 8 && <p class="faint">and {notes.length - 8} more: sort by state</p>}
    </section>
  );
}

interface Note {
  readonly id: string;
  readonly tone: 'bad' | 'warn';
  readonly href?: string;
  readonly name: string;
  readonly text: string;
}

function troubles(): Note[] {
  const now = store.sample?.at ?? Date.now();
  return [...store.samples.values()].flatMap(
    ({ number, trouble, since, p99, inFlight, isFrozen }): Note[] => {
      const common = { id: `trouble ${number}`, href: `#/devices/${number}`, name: `loop${number}` };
      const when = `since ${clock(since)}, for ${span(now - since)}`;
      if (trouble === 'stalled') {
        const requests = inFlight === 1 ? 'one request is in flight' : `${inFlight} requests are in flight`;
        return [{ ...common, tone: 'bad', text: `answers nothing while ${requests}, ${when}` }];
      }
      if (trouble === 'slow') {
        const last = p99 === 0 ? '' : `: one request of a hundred takes ${duration(p99 / 2)} or more`;
        return [{ ...common, tone: 'warn', text: `is slow ${when}${last}` }];
      }
      return isFrozen ? [{ ...common, tone: 'warn', text: 'is frozen: requests wait' }] : [];
    },
  );
}

const down = (): Note[] =>
  store.unrecovered.map(({ number, name, file, message }) => ({
    ...{ id: `down ${number}`, tone: 'bad', name },
    text: `could not be brought back from ${fileName(file)}: ${message}`,
  }));

const away = (): Note[] =>
  [...store.remotes.values()]
    .filter(({ state }) => state !== 'attached' && state !== 'negotiating')
    .map(({ number, state, message, uri }) => ({
      ...{ id: `away ${number}`, tone: REMOTE_STATES[state][0] === 'bad' ? 'bad' : 'warn' },
      ...{ href: '#/remotes', name: `nbd${number}` },
      text: `is ${REMOTE_STATES[state][1]}: ${message ?? uri}`,
    }));

function settings(): Note[] {
  const error = store.daemon?.settings.error;
  if (error === null || error === undefined) return [];
  return [{ id: 'settings', tone: 'warn', href: '#/daemon', name: 'Settings', text: error }];
}
