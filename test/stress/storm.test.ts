import t from 'tap';
import { seedFrom } from '../helpers/random.js';
import { judge } from './storm/judge.js';
import { storm } from './storm/storm.js';

const SECONDS = Number(process.env.NBDLOOP_STORM_SECONDS ?? '40');

t.setTimeout(SECONDS * 1000 + 180_000);

t.test('clients and controllers at random leave no fault behind', async (t) => {
  const seed = seedFrom('NBDLOOP_STORM_SEED');
  t.comment(`NBDLOOP_STORM_SEED=${seed}`);
  const aftermath = await storm({ seconds: SECONDS, seed, clients: 12, controllers: 6 });
  t.comment(String(aftermath.tally));
  t.same(judge(aftermath), []);
  const { counts } = aftermath.tally;
  for (const event of [
    'open',
    'read',
    'read error 5',
    'write',
    'steady read',
    'steady write',
    'configure',
    'clear',
    'troubled request',
    'set faults',
    'set limits',
    'power cut',
  ]) {
    t.ok((counts.get(event) ?? 0) > 0, `${event} happened`);
  }
});
