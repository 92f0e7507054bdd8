import { readFileSync } from 'node:fs';
import t from 'tap';
import { edgesOf, type ImportEdge, importEdges } from '../helpers/imports.js';

/** A rule names the imports that break it. */
interface Rule {
  readonly title: string;
  readonly breaks: (edge: ImportEdge) => boolean;
}

const under = (path: string, ...places: string[]): boolean =>
  places.some((place) => path === place || (place.endsWith('/') && path.startsWith(place)));

const DAEMON = 'driver/daemon.ts';
/** What may start the daemon: its program, and the library's entry. */
const DAEMON_USERS = ['driver/cli/run-daemon.ts', 'driver/index.ts', 'driver/testing.ts'];
/** Messages hold types and a few constants. */
const CLI_MAY_USE = [
  'driver/control/client.ts',
  'driver/control/messages.ts',
  'driver/control/find-daemon.ts',
  // What makes system calls for `nbdloop doctor`: loaded by that command alone.
  'driver/doctor/',
  // The same for `nbdloop delta`.
  'driver/store/delta/',
  // And for `nbdloop replay`.
  'driver/replay/',
  'driver/version.ts',
  'driver/processor.ts',
  'driver/process-start.ts',
  'driver/exact-number.ts',
  'driver/file-name.ts',
  'driver/group-limits.ts',
];
/** Imported by anything of the driver's, and what goes to the helper process. */
const DRIVER_FLOOR = [
  'driver/errno.ts',
  'driver/exact-number.ts',
  'driver/file-name.ts',
  'driver/group-limits.ts',
  'driver/process-end.ts',
  'driver/processor.ts',
  'driver/see-doctor.ts',
  'driver/helper/',
];
/** The types of one message that another module owns. */
const LOCKDEP_MESSAGES = 'driver/locks/snapshot.ts';
/** What a handshake agrees on is the third seam: negotiation ends with it, transmission begins with it. */
const SEAMS = ['server/backend.ts', 'server/export.ts', 'server/negotiation/outcome.ts'];

/** A client of other servers speaks the same protocol. */
const CLIENT_MAY_USE = ['server/wire/', 'server/negotiation/byte-stream.ts', 'server/tls/psk-file.ts'];

/** The rooms of the data half that a reactor stands on. */
const BELOW_REACTOR = ['server/session/', 'server/pace/', 'server/system/', 'server/wire/'];

/** The rooms of the driver that a loop device stands on. */
const BELOW_LOOP = ['driver/locks/', 'driver/queue/', 'driver/store/', 'driver/io/'];

const RULES: readonly Rule[] = [
  {
    title: 'wire imports nothing of the project',
    breaks: ({ from, to }) => under(from, 'server/wire/') && !under(to, 'server/wire/'),
  },
  {
    title: 'negotiation imports wire and the seams only',
    breaks: ({ from, to }) =>
      under(from, 'server/negotiation/') && !under(to, 'server/negotiation/', 'server/wire/', ...SEAMS),
  },
  {
    title: 'pace imports nothing of the project',
    breaks: ({ from, to }) => under(from, 'server/pace/') && !under(to, 'server/pace/'),
  },
  {
    title: 'system imports nothing of the project but itself',
    breaks: ({ from, to }) => under(from, 'server/system/') && !under(to, 'server/system/'),
  },
  {
    title: 'session imports pace, system, wire and the seams only',
    breaks: ({ from, to }) =>
      under(from, 'server/session/') &&
      !under(to, 'server/session/', 'server/pace/', 'server/system/', 'server/wire/', ...SEAMS),
  },
  {
    title: 'reactor imports what is below it and the seams only',
    breaks: ({ from, to }) =>
      under(from, 'server/reactor/') && !under(to, 'server/reactor/', ...BELOW_REACTOR, ...SEAMS),
  },
  {
    title: 'tls imports system, and of negotiation what a client is known by',
    breaks: ({ from, to }) =>
      under(from, 'server/tls/') &&
      !under(to, 'server/tls/', 'server/system/', 'server/negotiation/permissions.ts'),
  },
  {
    title: 'the seams import each other only',
    breaks: ({ from, to }) => under(from, ...SEAMS) && !under(to, ...SEAMS),
  },
  {
    title: 'server never imports driver, not even types',
    breaks: ({ from, to }) => under(from, 'server/') && !under(to, 'server/'),
  },
  {
    title: 'locks, queue, store and io never import what is built on them',
    breaks: ({ from, to }) =>
      under(from, ...BELOW_LOOP) && under(to, 'driver/') && !under(to, ...BELOW_LOOP, ...DRIVER_FLOOR),
  },
  {
    title: 'store, which is behind the gate, imports io and the seams only',
    breaks: ({ from, to }) =>
      under(from, 'driver/store/') && !under(to, 'driver/store/', 'driver/io/', ...DRIVER_FLOOR, ...SEAMS),
  },
  {
    title: 'io imports neither store nor queue nor locks',
    breaks: ({ from, to }) =>
      under(from, 'driver/io/') && under(to, 'driver/store/', 'driver/queue/', 'driver/locks/'),
  },
  {
    title: 'what the helper process runs imports nothing of the project but errors',
    breaks: ({ from, to }) => under(from, 'driver/helper/') && !under(to, ...DRIVER_FLOOR),
  },
  {
    title: 'loop imports locks, queue, store and io, and nothing above itself',
    breaks: ({ from, to }) =>
      under(from, 'driver/loop/') &&
      under(to, 'driver/') &&
      !under(to, 'driver/loop/', ...BELOW_LOOP, ...DRIVER_FLOOR),
  },
  {
    title: 'the CLI imports control/client and the messages only',
    breaks: ({ from, to, typeOnly }) =>
      under(from, 'driver/cli/') &&
      !under(to, 'driver/cli/', ...CLI_MAY_USE) &&
      !(typeOnly && under(to, LOCKDEP_MESSAGES)) &&
      !(under(from, ...DAEMON_USERS) && under(to, DAEMON)),
  },
  {
    title: 'web imports control, and the slots that counters are in, only',
    breaks: ({ from, to }) =>
      under(from, 'driver/web/') &&
      !under(
        to,
        'driver/web/',
        'driver/control/',
        'driver/queue/slots.ts',
        'driver/tcp-addresses.ts',
        'driver/page-directory.ts',
        ...DRIVER_FLOOR,
      ),
  },
  {
    title: 'the page, which a browser runs, imports types of messages only',
    breaks: ({ from, to, typeOnly }) =>
      under(from, 'driver/web/page/') &&
      !under(to, 'driver/web/page/') &&
      !(typeOnly && under(to, 'driver/control/messages.ts', 'driver/web/live-messages.ts')),
  },
  {
    title: 'doctor imports io, and where daemons are found, only',
    breaks: ({ from, to }) =>
      under(from, 'driver/doctor/') &&
      !under(
        to,
        'driver/doctor/',
        'driver/io/',
        'driver/control/find-daemon.ts',
        'driver/control/run-directory.ts',
        ...DRIVER_FLOOR,
      ),
  },
  {
    title: 'only the composition root imports values from both halves',
    breaks: ({ from, to, typeOnly }) =>
      under(from, 'driver/') &&
      from !== DAEMON &&
      under(to, 'server/') &&
      !typeOnly &&
      !(under(from, 'driver/remote/') && under(to, ...CLIENT_MAY_USE)),
  },
  {
    title: 'remote imports the kernel side, and of the server what a client shares with it',
    breaks: ({ from, to }) =>
      under(from, 'driver/remote/') &&
      !under(to, 'driver/remote/', 'driver/kernel/', ...CLIENT_MAY_USE, ...DRIVER_FLOOR),
  },
  {
    title: 'nothing but the programs that start it imports the composition root',
    breaks: ({ from, to }) => to === DAEMON && !under(from, ...DAEMON_USERS),
  },
  {
    title: 'what is measured and what is tested is not shipped',
    breaks: ({ from, to }) => under(from, 'server/', 'driver/') && under(to, 'test/', 'bench/'),
  },
];

const edges = importEdges('.', ['server', 'driver']);

t.ok(edges.length > 10, 'the sources were found');

for (const rule of RULES) {
  t.test(rule.title, async (t) => {
    t.strictSame(edges.filter(rule.breaks), []);
  });
}

t.test('no two modules import each other, not even types, over any number of steps', async (t) => {
  t.strictSame(findCycle(edges), undefined);
});

t.test('every room has a rule, and the page of the rooms names it', async (t) => {
  const rooms = new Set(
    edges.flatMap(({ from }) => (from.split('/').length > 2 ? [from.split('/').slice(0, 2).join('/')] : [])),
  );
  const page = readFileSync('docs/architecture.md', 'utf8');
  for (const room of [...rooms].filter((name) => name.startsWith('server/'))) {
    const title = room.replace('server/', '');
    t.ok(
      RULES.some((rule) => rule.title.startsWith(title)),
      `a rule for ${room}`,
    );
  }
  for (const room of rooms) t.match(page, `| \`${room}\` |`, room);
});

t.test('imports are read with the difference between types and values', async (t) => {
  const source = `
/* import { no } from './comment.js'; */
import type { A } from '../a.js';
import { type B, c } from './b.js';
import fs from 'node:fs';
import './side-effect.js';
export * from './all.js';
export type { D } from './d.js';
import {
  e,
} from '../x/e.js';
const f = await import('./f.js'); // import './neither.js'
`;
  t.strictSame(
    edgesOf('driver/loop/x.ts', source).map(({ to, typeOnly }) => `${to}${typeOnly ? ' type' : ''}`),
    [
      'driver/a.ts type',
      'driver/loop/b.ts',
      'driver/loop/side-effect.ts',
      'driver/loop/all.ts',
      'driver/loop/d.ts type',
      'driver/x/e.ts',
      'driver/loop/f.ts',
    ],
  );
});

/** A chain of modules that leads back to its start, or undefined. */
function findCycle(all: readonly ImportEdge[]): string[] | undefined {
  const targets = new Map<string, string[]>();
  for (const { from, to } of all) targets.set(from, [...(targets.get(from) ?? []), to]);
  const done = new Set<string>();
  const visit = (module: string, path: readonly string[]): string[] | undefined => {
    if (path.includes(module)) return [...path.slice(path.indexOf(module)), module];
    if (done.has(module)) return undefined;
    for (const next of targets.get(module) ?? []) {
      const cycle = visit(next, [...path, module]);
      if (cycle !== undefined) return cycle;
    }
    done.add(module);
    return undefined;
  };
  for (const module of targets.keys()) {
    const cycle = visit(module, []);
    if (cycle !== undefined) return cycle;
  }
  return undefined;
}
