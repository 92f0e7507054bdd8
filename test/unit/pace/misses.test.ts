import t from 'tap';
import { Misses } from '../../../server/pace/misses.js';

/** How many READs in a row are started at once. */
const run = (misses: Misses): number => {
  let count = 0;
  while (misses.expectNext()) count++;
  return count;
};

t.test('READs are asked of the page cache until it had less than half of some', async (t) => {
  const misses = new Misses();
  t.equal(run(misses), 0);
  misses.count(15, 15);
  t.equal(run(misses), 0, 'too few to tell');
  misses.count(1, 0);
  t.equal(run(misses), 1024);
  t.equal(run(misses), 0, 'then it is asked again');
});

t.test('half of them there is enough to ask', async (t) => {
  const misses = new Misses();
  misses.count(16, 8);
  t.equal(run(misses), 0);
  misses.count(16, 9);
  t.equal(run(misses), 1024);
});

t.test('misses of long ago do not count', async (t) => {
  const misses = new Misses();
  for (let i = 0; i < 100; i++) {
    misses.count(1, i % 16 === 0 ? 1 : 0); // a stream that is read ahead
    t.equal(run(misses), 0);
  }
});

t.test('batches without a READ say nothing', async (t) => {
  const misses = new Misses();
  misses.count(10, 10);
  for (let i = 0; i < 100; i++) misses.count(0, 0);
  t.equal(run(misses), 0);
  misses.count(6, 6);
  t.equal(run(misses), 1024);
});
