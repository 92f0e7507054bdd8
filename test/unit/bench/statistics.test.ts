import fc from 'fast-check';
import { test } from 'tap';
import { median, medianOf, spread } from '../../../bench/statistics.js';

test('the median is the middle, or the mean of the two in the middle', async (t) => {
  t.equal(median([3, 1, 2]), 2);
  t.equal(median([4, 1, 3, 2]), 2.5);
  t.equal(median([10, 9, 100]), 10, 'numbers are ordered as numbers');
  t.ok(Number.isNaN(median([])));
});

test('half of the values are on either side of the median', async () => {
  const values = fc.array(fc.double({ noNaN: true, min: -1e9, max: 1e9 }), { minLength: 1 });
  fc.assert(
    fc.property(values, (numbers) => {
      const middle = median(numbers);
      const below = numbers.filter((value) => value < middle).length;
      const above = numbers.filter((value) => value > middle).length;
      return below <= numbers.length / 2 && above <= numbers.length / 2;
    }),
  );
});

test('the spread is the distance of the extremes as a share of the median', async (t) => {
  t.equal(spread([90, 100, 110]), 0.2);
  t.equal(spread([100]), 0);
});

test('a median over what only some have', async (t) => {
  t.equal(
    medianOf([{ a: 1 }, {}, { a: 3 }], (item: { a?: number }) => item.a),
    2,
  );
  t.equal(
    medianOf([{}], () => undefined),
    undefined,
  );
});
