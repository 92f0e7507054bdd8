import t from 'tap';
import { skipUnlessQemu } from './guest-available.js';
import { type GuestTest, guestTests } from './guest-tests.js';
import * as scripts from './remote-scripts.js';

t.setTimeout(1_600_000);
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
/** 200 in full: `NBDLOOP_ROUNDS=200 node dist/test/vm/remote.test.js`. */
const rounds = Number(process.env.NBDLOOP_ROUNDS ?? 10);
/** One test alone, by a part of its title. */
const only = process.env.NBDLOOP_REMOTE ?? 'a pulled cable';
const TESTS: readonly GuestTest[] = [
  {
    title: 'a mounted device outlives its server and a pulled cable, and nobody sees an error',
    script: scripts.SERVER_GOES_AND_COMES,
  },
  {
    title: 'another address, another export, and the local daemon by crash, handover and restart',
    script: scripts.SECOND_ADDRESS,
  },
  {
    title: 'every server, plain and over TLS, over TCP and Unix sockets',
    script: scripts.EVERY_SERVER,
  },
  {
    title: `TLS with a key over two connections; ${rounds} rounds leave nothing`,
    script: scripts.tlsAndRounds(rounds),
  },
];

t.test('devices of another host', { skip }, (t) =>
  guestTests(
    t,
    TESTS.filter(({ title }) => title.includes(only)),
    { modules: ['veth'], before: scripts.FAR_HOST },
  ),
);
