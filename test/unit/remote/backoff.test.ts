import t from 'tap';
import { Backoff } from '../../../driver/remote/backoff.js';

t.test('waits twice as long after each failure, up to a limit; half of it is chance', async (t) => {
  const longest = new Backoff(() => 1);
  const shortest = new Backoff(() => 0);
  const all = Array.from({ length: 40 }, () => [shortest.next(), longest.next()] as const);
  t.strictSame(all.slice(0, 4), [
    [50, 100],
    [100, 200],
    [200, 400],
    [400, 800],
  ]);
  t.strictSame(all.at(-1), [2000, 4000]);
  longest.reset();
  t.equal(longest.next(), 100);
});
