import fc from 'fast-check';
import t, { type Test } from 'tap';
import { checkRules } from '../../../driver/store/faults/check-rules.js';
import { RuleCounters, ruleMemory } from '../../../driver/store/faults/counters.js';
import { type Asked, FaultJudge } from '../../../driver/store/faults/decide.js';
import { type Delay, delayAt } from '../../../driver/store/faults/delay.js';
import { flip, misdirected, tornLength } from '../../../driver/store/faults/effect.js';
import { HitRing, hitMemory, RING_HITS } from '../../../driver/store/faults/hit-ring.js';
import { bitsAt, unitAt } from '../../../driver/store/faults/random.js';
import type { FaultsDescription, GivenRule, LiveRule } from '../../../driver/store/faults/rule.js';

let serial = 0;
const live = (...given: GivenRule[]): LiveRule[] =>
  checkRules(given, [], () => 7).map((rule) => ({
    ...rule,
    serial: ++serial,
    number: 5,
    shared: ruleMemory(),
  }));

const describe = (rules: LiveRule[]): FaultsDescription => ({ rules, hits: hitMemory(), bell: 1 });
const judgeOf = (...given: GivenRule[]): FaultJudge => new FaultJudge(describe(live(...given)), () => {});
const write = (offset = 0, length = 4096, fua = false): Asked => ({
  operation: 'write',
  offset,
  length,
  fua,
});
const read = (offset = 0, length = 4096): Asked => ({ operation: 'read', offset, length, fua: false });

/** Which of so many requests are hit. */
const hitsOf = (judge: FaultJudge, count: number, asked: Asked = write()): number[] =>
  Array.from({ length: count }, (_, index) => (judge.judge(asked) === undefined ? -1 : index)).filter(
    (i) => i >= 0,
  );

const PINNED = [3514444521, 3072234394, 1222673410];

t.test('chance follows from seed, place and use alone', async (t) => {
  t.strictSame([bitsAt(1, 0, 0), bitsAt(1, 0, 0)], [bitsAt(1, 0, 0), bitsAt(1, 0, 0)]);
  // Written down once: what a seed means does not change from one version to the next.
  t.strictSame([bitsAt(1, 0, 0), bitsAt(1, 1, 0), bitsAt(2 ** 40 + 1, 7, 3)], PINNED);
  const draws = Array.from({ length: 20_000 }, (_, index) => unitAt(42, index, 5));
  const mean = draws.reduce((sum, draw) => sum + draw, 0) / draws.length;
  t.ok(Math.abs(mean - 0.5) < 0.01, `mean ${mean}`);
  t.ok(draws.every((draw) => draw >= 0 && draw < 1));
  t.equal(new Set(draws).size, draws.length);
});

t.test('which requests a rule hits: after, every, count', async (t) => {
  const errno = (rest: Partial<GivenRule>): FaultJudge => judgeOf({ kind: 'errno', ...rest });
  t.strictSame(hitsOf(errno({}), 4), [0, 1, 2, 3]);
  t.strictSame(hitsOf(errno({ every: 3 }), 9), [2, 5, 8]);
  t.strictSame(hitsOf(errno({ after: 2 }), 5), [2, 3, 4]);
  t.strictSame(hitsOf(errno({ after: 2, every: 2 }), 8), [3, 5, 7]);
  t.strictSame(hitsOf(errno({ count: 2 }), 5), [0, 1]);
  t.strictSame(hitsOf(errno({ after: 1, every: 2, count: 1 }), 8), [2]);
  t.strictSame(hitsOf(errno({ probability: 0 }), 50), []);
  const some = hitsOf(errno({ probability: 0.25, seed: 3 }), 4000).length;
  t.ok(some > 900 && some < 1100, `${some} of 4000 at a probability of 0.25`);
  t.strictSame(hitsOf(errno({ operations: ['read'] }), 3), []);
});

t.test('a rule looks at its operations, its ranges and FUA only, and counts no others', async (t) => {
  const rules = live({ kind: 'errno', ranges: [{ offset: 8192, length: 4096 }], operations: ['write'] });
  const judge = new FaultJudge(describe(rules), () => {});
  t.equal(judge.judge(write(0, 8192)), undefined);
  t.equal(judge.judge(write(12288, 512)), undefined);
  t.equal(judge.judge(read(8192)), undefined);
  t.match(judge.judge(write(0, 8193)), { index: 0 });
  t.match(judge.judge(write(12287, 1)), { index: 1 });
  t.equal(new RuleCounters((rules[0] as LiveRule).shared).seen, 2);
  const durable = judgeOf({ kind: 'errno', fua: true });
  t.equal(durable.judge(write()), undefined);
  t.match(durable.judge(write(0, 512, true)), { outcome: { kind: 'errno' } });
});

t.test(
  'delays add up and go with an outcome; the first outcome counts; a hang is held until it is released',
  async (t) => {
    const rules = live(
      { kind: 'delay', delay: { distribution: 'fixed', ms: 2 } },
      { kind: 'errno', errno: 'EIO', every: 2 },
      { kind: 'lost' },
      { kind: 'delay', delay: { distribution: 'fixed', ms: 3 } },
      { kind: 'hang', count: 1, after: 2 },
    );
    const judge = new FaultJudge(describe(rules), () => {});
    t.match(judge.judge(write()), { delay: 5, outcome: { kind: 'lost' }, heldBy: undefined });
    t.match(judge.judge(write()), { delay: 5, outcome: { kind: 'errno' }, heldBy: undefined });
    const third = judge.judge(write());
    t.match(third, { outcome: { kind: 'lost' }, heldBy: { kind: 'hang' } });
    const hang = rules[4] as LiveRule;
    t.equal(judge.holds(hang, third?.releases ?? -1), true);
    t.equal(new RuleCounters(hang.shared).held, 1);
    new RuleCounters(hang.shared).release();
    t.equal(judge.holds(hang, third?.releases ?? -1), false);
    const other = new FaultJudge(describe(live({ kind: 'hang', id: hang.id })), () => {});
    t.equal(other.has(hang), false, 'another rule of the same name is another rule');
  },
);

const kinds = fc.constantFrom<GivenRule['kind']>('errno', 'lost', 'torn', 'hang');
const givenRule = fc.record({
  kind: kinds,
  after: fc.nat(5),
  every: fc.integer({ min: 1, max: 4 }),
  count: fc.option(fc.integer({ min: 1, max: 5 })),
  probability: fc.double({ min: 0, max: 1, noNaN: true }),
  seed: fc.nat(),
});

t.test('the same seeds and requests give the same faults, also where threads share the rules', async () => {
  fc.assert(
    fc.property(
      fc.array(givenRule, { maxLength: 4 }),
      fc.array(
        fc.record({ thread: fc.nat(2), offset: fc.nat(100_000), length: fc.integer({ min: 1, max: 9999 }) }),
      ),
      (given, requests) => {
        const run = (threads: number): unknown[] => {
          const shared = describe(live(...given));
          const judges = Array.from({ length: threads }, () => new FaultJudge(shared, () => {}));
          return requests.map(({ thread, offset, length }) => {
            const met = (judges[thread % threads] as FaultJudge).judge(write(offset, length));
            if (met === undefined) return undefined;
            const { outcome, index, heldBy } = met;
            const torn = outcome?.kind === 'torn' ? tornLength(outcome, index, length) : undefined;
            return [outcome?.id, index, heldBy?.id, torn];
          });
        };
        return JSON.stringify(run(1)) === JSON.stringify(run(3));
      },
    ),
  );
});

t.test('delays have their distributions', async (t) => {
  const mean = (delay: Delay, count = 20_000): number => {
    let sum = 0;
    for (let index = 0; index < count; index++) sum += delayAt(delay, 9, index);
    return sum / count;
  };
  const near = (got: number, wanted: number): void => {
    t.ok(Math.abs(got - wanted) < wanted * 0.03, `${got} is about ${wanted}`);
  };
  t.equal(mean({ distribution: 'fixed', ms: 4 }, 10), 4);
  near(mean({ distribution: 'uniform', min: 2, max: 6 }), 4);
  near(mean({ distribution: 'normal', mean: 10, deviation: 1 }), 10);
  near(mean({ distribution: 'pareto', min: 2, shape: 3 }), 3);
  for (let index = 0; index < 1000; index++) {
    t.ok(delayAt({ distribution: 'normal', mean: 0, deviation: 5 }, 1, index) >= 0);
    t.ok(delayAt({ distribution: 'pareto', min: 2, shape: 0.01 }, 1, index) <= 86_400_000);
  }
});

t.test('a torn write is cut at a sector, and is never whole', async () => {
  const [rule] = live({ kind: 'torn' }) as [LiveRule];
  fc.assert(
    fc.property(fc.nat(), fc.integer({ min: 1, max: 1 << 20 }), (index, length) => {
      const done = tornLength(rule, index, length);
      return done % 512 === 0 && done < length;
    }),
  );
});

t.test('a misdirected request is in the device, aligned as it was, and not where it should be', async (t) => {
  const [rule] = live({ kind: 'misdirected' }) as [LiveRule];
  fc.assert(
    fc.property(fc.nat(), fc.nat(500), fc.integer({ min: 1, max: 64 }), (index, sector, sectors) => {
      const size = 1 << 20;
      const asked = { offset: sector * 512, length: sectors * 512 };
      const to = misdirected(rule, index, asked, size);
      return to >= 0 && to + asked.length <= size && to % 512 === 0 && to !== asked.offset;
    }),
  );
  const [fixed] = live({ kind: 'misdirected', to: 1 << 30 }) as [LiveRule];
  t.equal(misdirected(fixed, 0, { offset: 0, length: 4096 }, 1 << 20), (1 << 20) - 4096, 'within the device');
});

t.test('flipped bits are as many as asked for, within the range', async (t) => {
  const [one] = live({ kind: 'flipped', ranges: [{ offset: 1000, length: 8 }] }) as [LiveRule];
  for (let index = 0; index < 200; index++) {
    const bytes = new Uint8Array(4096);
    flip(one, index, bytes, 512);
    const changed = [...bytes.entries()].filter(([, byte]) => byte !== 0);
    t.equal(changed.length, 1);
    const [at, byte] = changed[0] as [number, number];
    t.ok(at >= 488 && at < 496, `byte ${at}`);
    t.equal(Math.log2(byte) % 1, 0, 'one bit');
  }
});

t.test('hits come to the control side in order; those that were written over are counted', async (t) => {
  const shared = hitMemory();
  const [here, there] = [new HitRing(shared), new HitRing(shared)];
  const hit = (index: number) => ({ rule: 3, operation: 'trim', offset: 512, length: 1024, index }) as const;
  t.equal(there.add(hit(0)), true, 'the first rings');
  t.equal(there.add(hit(1)), false);
  t.strictSame(here.take(), { hits: [hit(0), hit(1)], missed: 0 });
  t.equal(there.add(hit(2)), true);
  for (let index = 3; index < 3 + RING_HITS; index++) there.add(hit(index));
  const { hits, missed } = here.take();
  t.equal(missed, 1);
  t.equal(hits.length, RING_HITS);
  t.equal(hits[0]?.index, 3);
});

t.test(
  'a hit that is being written while the control side looks is told next time, in either lap',
  async (t) => {
    const hit = (index: number) =>
      ({ rule: 3, operation: 'trim', offset: 512, length: 1024, index }) as const;
    for (const before of [0, RING_HITS]) {
      const shared = hitMemory();
      const ring = new HitRing(shared);
      for (let index = 0; index < before; index++) ring.add(hit(index));
      ring.take();
      // A thread has counted it, and is interrupted: what it writes first is what it has written last of the others.
      const head = 64;
      const entries = new Float64Array(shared, head);
      const entry = (index: number): Float64Array => entries.subarray((index % RING_HITS) * 6).subarray(0, 6);
      const old = entry(before).slice();
      ring.add(hit(before));
      ring.add(hit(before + 1));
      const written = entry(before).slice();
      entry(before).set(old);
      t.strictSame(ring.take(), { hits: [], missed: 0 });
      entry(before).set(written);
      t.strictSame(ring.take(), { hits: [hit(before), hit(before + 1)], missed: 0 });
    }
  },
);

const refused = (t: Test, given: unknown, message: RegExp): void => {
  t.throws(() => checkRules([given as GivenRule], [], () => 1), { errno: 'EINVAL', message });
};

t.test('what makes no sense is refused with a sentence', async (t) => {
  refused(t, { kind: 'errno', errno: 'EWRONG' }, /no errno 'EWRONG'/);
  refused(t, { kind: 'wrong' }, /no kind 'wrong'/);
  refused(t, { kind: 'delay' }, /needs 'delay'/);
  refused(t, { kind: 'lost', errno: 'EIO' }, /'errno' is for the kind errno, not for lost/);
  refused(t, { kind: 'flipped', operations: ['flush'] }, /flipped can hit read, write, not 'flush'/);
  refused(t, { kind: 'errno', every: 0 }, /'every' is a whole number from 1/);
  refused(t, { kind: 'errno', probability: 1.5 }, /'probability'/);
  refused(t, { kind: 'errno', operations: ['read'], fua: true }, /'fua' is for/);
  refused(t, { kind: 'errno', ranges: [{ offset: 0, length: 0 }] }, /a range is/);
  refused(t, { kind: 'misdirected', to: 100 }, /multiple of 512/);
  refused(t, { kind: 'errno', id: 'a b' }, /can't be named 'a b'/);
  refused(t, { kind: 'delay', delay: { distribution: 'uniform', min: 5, max: 1 } }, /wrong way round/);
  t.throws(
    () => checkRules([{ kind: 'lost', id: 'x' }], [{ id: 'x' }], () => 1),
    /two fault rules named 'x'/,
  );
  t.throws(
    () =>
      checkRules(
        Array.from({ length: 257 }, () => ({ kind: 'lost' as const })),
        [],
        () => 1,
      ),
    /256/,
  );
  t.match(
    checkRules([{ kind: 'lost' }, { kind: 'lost', id: '1' }], [], () => 9),
    [{ id: '2', seed: 9 }, { id: '1' }],
  );
});
