import t from 'tap';
import { BY_HAND_BY_NAME } from './by-hand-scripts.js';
import { skipUnlessQemu } from './guest-available.js';
import { guestTests } from './guest-tests.js';
import { CRASHED, FILE_SYSTEMS, FULL, HANDED_OVER, LEFT_DOWN } from './identity-scripts.js';
import { crashes, handovers, UNDER_FIO } from './restart-scripts.js';

/** Rounds a test: NBDLOOP_ROUNDS=10 for the long run. Other tests here add a crash and two handovers in a row. */
const ROUNDS = Number(process.env.NBDLOOP_ROUNDS ?? 1);
/** What takes long in an emulated machine is for the long run. */
const SELDOM = ROUNDS > 1 ? [LEFT_DOWN] : [];
const TIMEOUT_MS = 1_400_000 + ROUNDS * 90_000;

t.setTimeout(TIMEOUT_MS + 60_000);

t.test(
  'restarts in a kernel with two processors',
  { skip: await skipUnlessQemu('fio', 'nbd-client', 'mkfs.ext4', 'curl') },
  (t) =>
    guestTests(
      t,
      [crashes(ROUNDS), handovers(ROUNDS), HANDED_OVER, CRASHED, FULL, BY_HAND_BY_NAME, ...SELDOM],
      {
        before: UNDER_FIO + FILE_SYSTEMS,
        timeoutMs: TIMEOUT_MS,
      },
    ),
);
