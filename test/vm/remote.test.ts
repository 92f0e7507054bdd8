import t, { type Test } from 'tap';
import { skipUnlessQemu } from './guest-available.js';
import { type GuestTest, guestTests } from './guest-tests.js';
import * as scripts from './remote-scripts.js';

const skip = await skipUnlessQemu(
  'nbdkit',
  'qemu-nbd',
  'nbd-server',
  'openssl',
  'fio',
  'mkfs.ext4',
  'e2fsck',
  'ip',
  'curl',
);
/** `npm run remote`: every server, 200 rounds, and the cable is out for 30 s at least. */
const isWhole = process.env.NBDLOOP_REMOTE_WHOLE !== undefined;
const [rounds, cutSeconds] = isWhole ? [200, 30] : [8, 0];
/** A hang limit of the guest, milliseconds: the whole takes half an hour on a machine that others use. */
const LIMIT = isWhole ? 4_500_000 : 1_500_000;
t.setTimeout(LIMIT + 100_000);
/** One test alone, by a part of its title; `speed` measures. */
const only = process.env.NBDLOOP_REMOTE ?? '';
const TESTS: readonly GuestTest[] = [
  {
    title: 'a mounted device outlives its server and a pulled cable, and nobody sees an error',
    script: scripts.serverGoesAndComes(cutSeconds),
  },
  {
    title: 'another address, another export, and the local daemon by crash, handover and restart',
    script: scripts.SECOND_ADDRESS,
  },
  {
    title: `TLS with a key over two connections; ${rounds} rounds leave nothing`,
    script: scripts.tlsAndRounds(rounds),
  },
];
/** Our client with each of them is in interop/remote-servers, without a kernel. */
const EVERY_SERVER: GuestTest = {
  title: 'every server, plain and over TLS, over TCP and Unix sockets',
  script: scripts.EVERY_SERVER,
};

/** Medians of IOPS, and of the quotients of turns that follow each other: no verdict. */
function tellSpeed(t: Test, output: string): void {
  const runs = new Map<string, { ours: number[]; theirs: number[] }>();
  for (const [, who = '', what = '', iops] of output.matchAll(/^speed (\S+) (\S+ \S+) (\S+)$/gm)) {
    const row = runs.get(what) ?? { ours: [], theirs: [] };
    runs.set(what, row);
    (who === 'nbdloop' ? row.ours : row.theirs).push(Number(iops));
  }
  const sorted = (numbers: readonly number[]): number[] => [...numbers].sort((a, b) => a - b);
  const quantile = (numbers: readonly number[], part: number): number =>
    sorted(numbers)[Math.floor((numbers.length - 1) * part)] ?? Number.NaN;
  t.ok(runs.size > 0, 'it was measured');
  for (const [what, { ours, theirs }] of runs) {
    const quotients = ours.map((iops, turn) => iops / (theirs[turn] ?? Number.NaN));
    const [low, middle, high] = [0.25, 0.5, 0.75].map((part) => quantile(quotients, part).toFixed(3));
    const iops = `nbdloop ${quantile(ours, 0.5)}, nbd-client ${quantile(theirs, 0.5)} IOPS`;
    t.comment(`${what}: ${iops}; quotient ${middle} (quartiles ${low}, ${high})`);
  }
}

const MEASUREMENT: GuestTest = { title: 'speed', script: scripts.SPEED, check: tellSpeed };

const wanted = (): readonly GuestTest[] =>
  [...TESTS, ...(isWhole ? [EVERY_SERVER] : [])].filter(({ title }) => title.includes(only));

t.test('devices of another host', { skip }, (t) =>
  guestTests(t, only === MEASUREMENT.title ? [MEASUREMENT] : wanted(), {
    modules: ['veth'],
    timeoutMs: LIMIT,
    before: scripts.FAR_HOST,
  }),
);
