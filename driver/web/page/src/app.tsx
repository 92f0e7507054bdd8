import type { ComponentChildren } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { setToken } from './api.js';
import { clock } from './format.js';
import { type Route, useRoute } from './router.js';
import { type Connection, store, useStore } from './store.js';
import { Connections } from './views/connections.js';
import { DaemonView } from './views/daemon.js';
import { DeviceView } from './views/device.js';
import { Events } from './views/events.js';
import { Locks } from './views/locks.js';
import { Overlays } from './views/overlays.js';
import { Overview } from './views/overview.js';
import { Remotes } from './views/remotes.js';

const PLACES = [
  { view: 'overview', href: '#/', name: 'Devices' },
  { view: 'overlays', href: '#/overlays', name: 'Overlays' },
  { view: 'remotes', href: '#/remotes', name: 'Other hosts' },
  { view: 'locks', href: '#/locks', name: 'Lock order' },
  { view: 'connections', href: '#/connections', name: 'Connections' },
  { view: 'events', href: '#/events', name: 'Events' },
  { view: 'daemon', href: '#/daemon', name: 'Daemon' },
] as const;

const STATES: Readonly<Record<Connection, string>> = {
  starting: 'connecting',
  live: 'live',
  lost: 'no connection',
  locked: 'locked',
};

export function App() {
  const { connection, daemon } = useStore();
  const route = useRoute();
  if (connection === 'live') tried = '';
  const main = useRef<HTMLElement>(null);
  const key = route.view === 'device' ? `device ${route.number}` : route.view;
  const shown = useRef(key);
  useEffect(() => {
    document.title = `${titleOf(route)} · nbdloop`;
    // Who goes to another view by keyboard is there, not where the link was.
    if (shown.current !== key) main.current?.focus({ preventScroll: true });
    if (shown.current !== key) scrollTo(0, 0);
    shown.current = key;
  }, [key, route]);
  return (
    <>
      <button type="button" class="skip" onClick={() => main.current?.focus()}>
        Skip to the content
      </button>
      <header class="bar">
        <a class="brand" href="#/">
          nbdloop
        </a>
        <nav aria-label="Views">
          {PLACES.map(({ view, href, name }) => (
            <a key={view} href={href} aria-current={isAt(route, view) ? 'page' : undefined}>
              {name}
            </a>
          ))}
        </nav>
        <span class={`link-state ${connection}`} role="status">
          <span class="dot" aria-hidden="true" />
          {STATES[connection]}
          {daemon !== undefined && <span class="version">{daemon.version}</span>}
        </span>
      </header>
      <main id="main" ref={main} tabIndex={-1} class={connection === 'lost' ? 'stale' : undefined}>
        {connection === 'lost' && <Lost />}
        {connection === 'locked' ? <Locked /> : <View route={route} />}
      </main>
    </>
  );
}

const isAt = (route: Route, view: string): boolean =>
  route.view === view || (route.view === 'device' && view === 'overview');

const titleOf = (route: Route): string =>
  route.view === 'device'
    ? `loop${route.number}`
    : (PLACES.find(({ view }) => view === route.view)?.name ?? 'Devices');

function View({ route }: { route: Route }): ComponentChildren {
  switch (route.view) {
    case 'device':
      return <DeviceView key={route.number} number={route.number} />;
    case 'overlays':
      return <Overlays />;
    case 'remotes':
      return <Remotes />;
    case 'locks':
      return <Locks />;
    case 'connections':
      return <Connections />;
    case 'events':
      return <Events />;
    case 'daemon':
      return <DaemonView />;
    default:
      return <Overview />;
  }
}

/** Numbers that are of some time ago must not pass for those of now. */
function Lost() {
  const { heard, reason } = store;
  return (
    <p class="warning">
      <b>No connection to the daemon{heard === 0 ? '' : ` since ${clock(heard)}`}.</b>{' '}
      {reason !== undefined && `It says: ${reason}. `}
      {heard > 0 && 'What is shown is of that time. '}The page goes on by itself when it is back.
    </p>
  );
}

/** What was put in last: it was refused if there is a question again. */
let tried = '';

/** The daemon does not take the token, or there is none. */
function Locked() {
  const [token, change] = useState('');
  const submit = (event: Event): void => {
    event.preventDefault();
    tried = token;
    setToken(token);
    store.start();
  };
  return (
    <form class="card locked" onSubmit={submit}>
      <h1>This page needs the daemon's token</h1>
      <p>
        The token is missing, or it is not the present one. <code>nbdloop web</code> prints the address with
        it: open that, or put it here.
      </p>
      {tried !== '' && (
        <p class="refusal" role="alert">
          That is not the present token.
        </p>
      )}
      <label>
        Address or token
        <input
          type="password"
          autocomplete="off"
          value={token}
          onInput={(event) => change(event.currentTarget.value)}
          required
        />
      </label>
      <button class="primary" type="submit">
        Open
      </button>
    </form>
  );
}
