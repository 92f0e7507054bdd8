/** The Promela model of the loop device: spin proves that the fix holds. */
import t from 'tap';
import { skipUnless } from '../helpers/tools.js';
import { check, HANG_LIMIT_MS } from './spin.js';

const skip = skipUnless('spin', 'gcc');

t.setTimeout(HANG_LIMIT_MS);

const STARTS = ['unbound', 'bound', 'bound with autoclear'];

for (const [number, start] of STARTS.entries()) {
  t.test(`the fix: from ${start}, no interleaving deadlocks or breaks a property`, { skip }, async (t) => {
    const { violation, states } = await check(`START=${number}`, '-O2');
    t.equal(violation, undefined);
    t.ok(states > 100_000, `${states} states were searched`);
  });
}
