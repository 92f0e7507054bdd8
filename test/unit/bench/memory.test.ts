import { test } from 'tap';
import { judgeSizes } from '../../../bench/checks/memory.js';

const ramp = (from: number, step: number): number[] =>
  Array.from({ length: 40 }, (_, index) => from + step * index);

test('memory that settles after the start has reached its target', async (t) => {
  const sizes = [...ramp(40, 4).slice(0, 10), ...Array.from({ length: 30 }, () => 80)];
  t.ok(judgeSizes(sizes, 90, 1).reached);
});

test('memory that keeps growing has not, nor has a peak that is too high', async (t) => {
  t.notOk(judgeSizes(ramp(60, 0.5), 80, 1).reached);
  t.notOk(judgeSizes(ramp(80, 0), 121, 1).reached);
});
