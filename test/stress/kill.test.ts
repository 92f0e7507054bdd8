import t from 'tap';
import { seedFrom } from '../helpers/random.js';
import { killRounds } from './kill/rounds.js';

const ROUNDS = Number(process.env.NBDLOOP_KILL_ROUNDS ?? '25');

t.setTimeout(ROUNDS * 20_000 + 60_000);

t.test('wherever a daemon is killed, no file gets a byte that was not written to it', async (t) => {
  const seed = seedFrom('NBDLOOP_KILL_SEED');
  t.comment(`NBDLOOP_KILL_SEED=${seed}`);
  const { faults, counts, requests } = await killRounds({ rounds: ROUNDS, seed });
  t.comment(`${requests} writes; ${[...counts].map(([what, count]) => `${what}: ${count}`).join(', ')}`);
  t.strictSame(faults, []);
  for (const event of ['kill', 'bound']) t.ok((counts.get(event) ?? 0) > 0, `${event} happened`);
  t.ok(requests > 0, 'clients wrote');
});
