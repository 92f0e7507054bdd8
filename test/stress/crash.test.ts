import t from 'tap';
import { skipWithoutFuse } from '../helpers/fuse/fuse-mount.js';
import { seedFrom } from '../helpers/random.js';
import { crashRounds } from './crash/rounds.js';

const ROUNDS = Number(process.env.NBDLOOP_CRASH_ROUNDS ?? '12');

t.setTimeout(ROUNDS * 20_000 + 60_000);

t.test(
  'whenever a daemon is killed or the power is cut, an overlay holds what was flushed',
  { skip: skipWithoutFuse() },
  async (t) => {
    const seed = seedFrom('NBDLOOP_CRASH_SEED');
    t.comment(`NBDLOOP_CRASH_SEED=${seed}`);
    const { faults, counts, requests } = await crashRounds({ rounds: ROUNDS, seed });
    t.comment(`${requests} requests; ${[...counts].map(([what, count]) => `${what}: ${count}`).join(', ')}`);
    t.strictSame(faults, []);
    t.ok(requests > 0, 'clients were served');
  },
);

t.test('a disk that lies about it is found out', { skip: skipWithoutFuse() }, async (t) => {
  const { faults } = await crashRounds({ rounds: 40, seed: 1, liar: true });
  t.not(faults.length, 0, faults.join('; '));
});
