/** The checker itself: against a search over all orders, and with faults planted into what a good disk answered. */
import fc from 'fast-check';
import t from 'tap';
import { Random } from '../../helpers/random.js';
import { checkRegisters, type Fault, type Operation } from './registers.js';

const write = (value: number, start: number, end: number): Operation => ({
  kind: 'write',
  sector: 7,
  value,
  start,
  end,
});
const read = (value: number, start: number, end: number): Operation => ({
  kind: 'read',
  sector: 7,
  value,
  start,
  end,
});
const kinds = (operations: readonly Operation[]): Fault['kind'][] =>
  checkRegisters(operations).map(({ kind }) => kind);

t.test('what a disk may answer', async (t) => {
  t.strictSame(kinds([]), []);
  t.strictSame(kinds([read(0, 0, 1)]), [], 'nothing was written yet');
  t.strictSame(kinds([write(1, 0, 1), read(1, 2, 3)]), []);
  t.strictSame(kinds([write(1, 0, 5), read(1, 1, 2), read(1, 3, 4)]), [], 'seen before its answer');
  t.strictSame(kinds([write(1, 0, 5), read(0, 1, 2), read(1, 3, 4)]), [], 'not yet, then seen');
  t.strictSame(
    kinds([write(1, 0, Infinity), read(0, 9, 10), read(1, 11, 12)]),
    [],
    'late, and never answered',
  );
  t.strictSame(
    kinds([write(1, 0, 1), write(2, 2, 6), write(3, 3, 5), read(2, 7, 8)]),
    [],
    'overlapping ones',
  );
});

t.test('what it may not, by name', async (t) => {
  const twice = [write(1, 0, 1), write(2, 2, 3)];
  t.strictSame(kinds([...twice, read(1, 4, 5)]), ['lost']);
  t.strictSame(kinds([write(1, 0, 1), read(0, 2, 3)]), ['lost'], 'the first one');
  t.strictSame(kinds([...twice, read(2, 4, 5), read(1, 6, 7)]), ['resurrected']);
  t.strictSame(kinds([...twice, read(2, 4, 5), read(1, 6, 7), read(2, 8, 9)]), ['reordered']);
  t.strictSame(kinds([...twice, read(1, 4, 5), read(2, 6, 7)]), ['reordered'], 'a stale read that mends');
  t.strictSame(
    kinds([write(1, 0, 9), read(1, 1, 2), read(0, 3, 4)]),
    ['reordered'],
    'seen and gone, unacknowledged',
  );
  t.strictSame(kinds([read(5, 0, 1)]), ['garbage']);
  t.strictSame(kinds([read(1, 0, 1), write(1, 2, 3)]), ['early']);
  t.match(
    checkRegisters([...twice, read(1, 4, 5)])[0]?.message,
    /^lost: sector 7: 1 was read, at 4.0 ms, in place of 2/,
  );
});

/** Whether some order of them is one that a single register could have had: tries all. */
function searched(left: readonly Operation[], value = 0): boolean {
  if (left.every(({ end }) => end === Infinity)) return true;
  return left.some((next) => {
    const others = left.filter((one) => one !== next);
    if (others.some(({ end }) => end < next.start)) return false;
    if (next.kind === 'read' && next.value !== value) return false;
    return searched(others, next.value);
  });
}

t.test('finds a fault exactly where no order explains what was seen', async (t) => {
  const span = fc.tuple(fc.integer({ min: 0, max: 12 }), fc.integer({ min: 1, max: 6 }));
  const writes = fc.array(fc.tuple(span, fc.boolean()), { maxLength: 4 });
  const reads = fc.array(fc.tuple(span, fc.integer({ min: 0, max: 4 })), { maxLength: 4 });
  let [good, bad] = [0, 0];
  fc.assert(
    fc.property(writes, reads, (written, seen) => {
      // No two ends are alike: what ends at the very start of another is neither before it nor beside it.
      let tie = 0;
      const at = ([start, length]: readonly [number, number], acknowledged = true) => {
        tie += 0.001;
        return [start + tie, acknowledged ? start + length + tie / 2 : Infinity] as const;
      };
      const history = [
        ...written.map(([time, acknowledged], index) => write(index + 1, ...at(time, acknowledged))),
        ...seen.map(([time, value]) => read(value, ...at(time))),
      ];
      const expected = searched(history);
      expected ? good++ : bad++;
      return (checkRegisters(history).length === 0) === expected;
    }),
    { numRuns: 3000 },
  );
  t.ok(good > 100 && bad > 100, `${good} that can be, ${bad} that can't`);
});

/** Clients side by side on a disk that is right; each takes effect at one instant between its ends. */
function goodHistory(random: Random, count: number, sectors: number): Operation[] {
  const planned = Array.from({ length: count }, (_, index) => {
    const start = index * 2 + random.below(1000) / 1000;
    const end = start + 1 + random.below(12_000) / 1000;
    const effect = start + ((end - start) * random.below(1000)) / 1000;
    const kind = random.chance(0.5) ? ('write' as const) : ('read' as const);
    return { kind, sector: random.below(sectors), value: index + 1, start, end, effect };
  });
  const disk = new Map<number, number>();
  return planned
    .sort((a, b) => a.effect - b.effect)
    .map(({ effect: _, ...operation }) => {
      if (operation.kind === 'read') return { ...operation, value: disk.get(operation.sector) ?? 0 };
      disk.set(operation.sector, operation.value);
      return operation;
    });
}

t.test('a fault that is planted into a long history is found, and nothing else', async (t) => {
  const random = Random.fromEnvironment('CLUSTER_SEED');
  for (let round = 0; round < 30; round++) {
    const history = goodHistory(random, 2000, 6);
    const where = `seed ${random.seed}, round ${round}`;
    t.strictSame(checkRegisters(history), [], where);
    const sector = random.below(6);
    const last = Math.max(...history.map(({ end }) => end));
    const writes = history
      .filter((one) => one.kind === 'write' && one.sector === sector)
      .sort((a, b) => a.start - b.start);
    const victim = writes[random.below(writes.length >> 1)];
    const planted = {
      kind: 'read',
      sector,
      value: victim?.value ?? 0,
      start: last + 1,
      end: last + 2,
    } as const;
    const faults = checkRegisters([...history, planted]);
    t.ok(faults.length > 0, where);
    t.ok(
      faults.every((fault) => fault.sector === sector && fault.read === victim?.value),
      where,
    );
    t.strictSame(
      checkRegisters([...history, { ...planted, value: 1e9 }]).map(({ kind }) => kind),
      ['garbage'],
      where,
    );
  }
});
