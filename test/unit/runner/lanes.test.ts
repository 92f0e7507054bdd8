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

t.test('a guest runs beside two other files, and helps when no guest is left', async (t) => {
  const beside = await walked({ guests: ['long guest'], others: ['long a', 'b', 'c'] });
  t.strictSame(beside, {
    'long guest': [],
    'long a': ['long guest'],
    b: ['long guest', 'long a'],
    c: ['long guest', 'long a'],
  });
  const after = await walked({ guests: ['guest'], others: ['long a', 'long b', 'c'] });
  t.strictSame(after, {
    guest: [],
    'long a': ['guest'],
    'long b': ['guest', 'long a'],
    c: ['long a', 'long b'],
  });
});

t.test('two guests meet only when there is nothing else to begin, and three never', async (t) => {
  const guests = ['long 1', 'long 2', 'long 3'];
  const beside = await walked({ guests, others: ['a', 'b'] });
  t.strictSame(beside.a, ['long 1']);
  t.strictSame(beside.b, ['long 1', 'a']);
  for (const guest of guests)
    t.ok((beside[guest] ?? guests).filter((other) => guests.includes(other)).length <= 1, guest);
});
