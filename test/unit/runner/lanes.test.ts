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

t.test('two guests run beside another file, and their lanes take others when no guest is left', async (t) => {
  const beside = await walked({ guests: ['long 1', 'long 2'], others: ['long a', 'b', 'c', 'd'] });
  t.strictSame(beside['long 1'], []);
  t.strictSame(beside['long 2'], ['long 1']);
  t.strictSame(beside['long a'], ['long 1', 'long 2']);
  t.strictSame([beside.b?.length, beside.c?.length, beside.d?.length], [2, 2, 2], 'all three lanes go on');
  const one = await walked({ guests: ['long guest'], others: ['long a', 'b', 'c'] });
  t.strictSame(one, {
    'long guest': [],
    'long a': ['long guest'],
    b: ['long guest', 'long a'],
    c: ['long guest', 'long a'],
  });
});

t.test('three guests never run at once', async (t) => {
  const guests = ['long 1', 'long 2', 'long 3', 'long 4'];
  const beside = await walked({ guests, others: ['a', 'b'] });
  t.equal(Object.keys(beside).length, 6);
  for (const guest of guests)
    t.ok((beside[guest] ?? guests).filter((other) => guests.includes(other)).length <= 1, guest);
});
