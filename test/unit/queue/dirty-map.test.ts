import fc from 'fast-check';
import t from 'tap';
import { DIRTY_BITS, DIRTY_BLOCK, DirtyMap } from '../../../driver/queue/dirty-map.js';
import { SHARED_BYTES } from '../../../driver/queue/slots.js';

const SIZE = 100 * DIRTY_BLOCK + 4096;
const fresh = (size = SIZE): DirtyMap => {
  const map = new DirtyMap(new SharedArrayBuffer(SHARED_BYTES));
  map.reset(size);
  return map;
};

/** All runs of a range, as BLOCK_STATUS walks them. */
const runs = (map: DirtyMap, offset: number, length: number): number[] => {
  const found: number[] = [];
  for (let at = offset; at < offset + length; ) {
    const run = map.run(at, offset + length - at);
    found.push(run);
    at += Math.abs(run);
  }
  return found;
};

t.test('a fresh map is clean, and a change makes the blocks it touches dirty', async (t) => {
  const map = fresh();
  t.strictSame(runs(map, 0, SIZE), [-SIZE]);
  map.mark(3 * DIRTY_BLOCK - 1, 2);
  t.strictSame(runs(map, 0, SIZE), [-2 * DIRTY_BLOCK, 2 * DIRTY_BLOCK, -(SIZE - 4 * DIRTY_BLOCK)]);
  t.strictSame(runs(map, 2 * DIRTY_BLOCK + 512, 1024), [1024], 'a look inside a block');
  map.reset(SIZE);
  t.strictSame(runs(map, 0, SIZE), [-SIZE], 'a reset cleans it');
});

t.test('any changes are found again, block by block', async () => {
  const change = fc.record({
    offset: fc.nat(SIZE - 1),
    length: fc.integer({ min: 1, max: 40 * DIRTY_BLOCK }),
  });
  fc.assert(
    fc.property(fc.array(change, { maxLength: 12 }), change, (changes, asked) => {
      const map = fresh();
      const naive = new Set<number>();
      for (const { offset, length } of changes) {
        const fits = Math.min(length, SIZE - offset);
        map.mark(offset, fits);
        for (let at = offset; at < offset + fits; at++) {
          naive.add(Math.floor(at / DIRTY_BLOCK));
          at = Math.max(at, Math.min(offset + fits, (Math.floor(at / DIRTY_BLOCK) + 1) * DIRTY_BLOCK) - 1);
        }
      }
      let at = asked.offset;
      const end = Math.min(SIZE, asked.offset + asked.length);
      for (const run of runs(map, at, end - at)) {
        for (const stop = at + Math.abs(run); at < stop; ) {
          const block = Math.floor(at / DIRTY_BLOCK);
          if (naive.has(block) !== run > 0) return false;
          at = Math.min(stop, (block + 1) * DIRTY_BLOCK);
        }
      }
      return at === end;
    }),
  );
});

t.test('a larger device has coarser blocks, and loses no change', async (t) => {
  const tebibyte = DIRTY_BITS * DIRTY_BLOCK;
  t.equal(fresh(tebibyte).blockBytes, DIRTY_BLOCK);
  const large = fresh(4 * tebibyte);
  t.equal(large.blockBytes, 4 * DIRTY_BLOCK);
  large.mark(4 * tebibyte - 1, 1);
  t.equal(large.run(4 * tebibyte - 512, 512), 512);
  t.equal(large.run(0, 4 * tebibyte), -(4 * tebibyte - 4 * DIRTY_BLOCK));

  const grown = fresh(tebibyte);
  grown.resize(2 * tebibyte);
  t.equal(grown.run(0, 2 * tebibyte), 2 * tebibyte, 'what cannot be told is called dirty');
  const small = fresh(DIRTY_BLOCK);
  small.resize(10 * DIRTY_BLOCK);
  t.strictSame(runs(small, 0, 10 * DIRTY_BLOCK), [-10 * DIRTY_BLOCK]);
  small.mark(9 * DIRTY_BLOCK, 1);
  small.reset(DIRTY_BLOCK);
  small.resize(10 * DIRTY_BLOCK);
  t.strictSame(runs(small, 0, 10 * DIRTY_BLOCK), [-10 * DIRTY_BLOCK], 'a reset forgets what is out of sight');
});

t.test('threads that change neighbours at once lose nothing', async (t) => {
  const shared = new SharedArrayBuffer(SHARED_BYTES);
  const [one, other] = [new DirtyMap(shared), new DirtyMap(shared)];
  one.reset(SIZE);
  one.mark(0, 1);
  other.mark(DIRTY_BLOCK, 1);
  t.equal(one.run(0, SIZE), 2 * DIRTY_BLOCK);
});
