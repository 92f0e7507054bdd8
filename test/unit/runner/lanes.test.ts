import { setImmediate as nextTurn } from 'node:timers/promises';
import t from 'tap';
import { type Lanes, runInLanes } from '../../runner/lanes.js';

/** For each item in order of its beginning, what ran beside it then. */
async function walked(lanes: Lanes<string>): Promise<Record<string, string[]>> {
  const running = new Set<string>();
  const beside: Record<string, string[]> = {};
  await runInLanes(lanes, async (item) => {
    beside[item] = [...running];
    running.add(item);
    for (let turn = item.startsWith('long') ? 5 : 1; turn > 0; turn--) await nextTurn();
    running.delete(item);
  });
  return beside;
}

t.test('a guest runs beside another file, and helps when no guest is left', async (t) => {
  const beside = await walked({ guests: ['long guest'], others: ['a', 'b', 'c'] });
  t.strictSame(beside, { 'long guest': [], a: ['long guest'], b: ['long guest'], c: ['long guest'] });
  const after = await walked({ guests: ['guest'], others: ['long a', 'b', 'c'] });
  t.strictSame(after, { guest: [], 'long a': ['guest'], b: ['long a'], c: ['long a'] });
});

t.test('two guests meet only when there is nothing else left to do', async (t) => {
  const beside = await walked({ guests: ['long 1', 'long 2', 'long 3'], others: ['a'] });
  t.strictSame(beside, { 'long 1': [], a: ['long 1'], 'long 2': ['long 1'], 'long 3': ['long 2'] });
});
