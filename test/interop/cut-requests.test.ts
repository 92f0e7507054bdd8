/** Power cuts under clients that are no kernel: what a flush or FUA answered is there, also where the answer came while the power went. */
import t from 'tap';
import { requestCuts } from '../cuts/requests.js';
import { seedFrom } from '../helpers/random.js';

const CUTS = Number(process.env.NBDLOOP_CUTS ?? 12);

t.setTimeout(120_000 + CUTS * 5000);

t.test(`what was answered holds after each of ${CUTS} cuts, over four connections`, async (t) => {
  const { wrong, ...result } = await requestCuts({ cuts: CUTS, seed: seedFrom('NBDLOOP_SEED') });
  t.comment(JSON.stringify(result));
  t.strictSame(wrong, []);
  t.ok(result.kept > 0 && result.kept < result.writes);
});

t.test('a disk that loses flushes, or FUA, is found out', async (t) => {
  for (const fault of [
    { kind: 'lost', operations: ['flush'] },
    { kind: 'lost', operations: ['write'], fua: true },
  ] as const) {
    const { wrong, cuts } = await requestCuts({
      cuts: 12,
      seed: 1,
      before: (client) => client.addFaults(0, [fault]),
    });
    t.comment(`by cut ${cuts}: ${wrong[1]}`);
    t.not(wrong.length, 0);
  }
});
