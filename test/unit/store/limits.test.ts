import t from 'tap';
import { changedLimits } from '../../../driver/store/limits/check-limits.js';
import {
  LimitBuckets,
  limitsAnything,
  NO_LIMITS,
  publishedLimits,
} from '../../../driver/store/limits/limits.js';

const SECOND = 1_000_000_000n;

t.test('so many requests a second, and what was not used at once', async (t) => {
  const limits = publishedLimits({ ...NO_LIMITS, iops: 100, burst: 0.05 });
  const buckets = new LimitBuckets(limits);
  const waits = Array.from({ length: 10 }, () => buckets.take(true, 4096, SECOND));
  t.strictSame(waits.map(Math.round), [0, 0, 0, 0, 0, 0, 10, 20, 30, 40]);
  t.equal(buckets.take(true, 4096, 10n * SECOND), 0, 'it fills up again');
});

t.test('reads and writes have limits of their own, and one together; threads share them', async (t) => {
  const limits = publishedLimits({ ...NO_LIMITS, iops: 1000, iopsWrite: 10, burst: 0 });
  const [one, other] = [new LimitBuckets(limits), new LimitBuckets(limits)];
  t.equal(one.take(false, 0, SECOND), 0);
  t.equal(other.take(false, 0, SECOND), 100);
  t.equal(Math.round(other.take(true, 0, SECOND)), 2, 'reads wait for the common one only');
});

t.test('bytes: what is larger than the burst passes, and is paid for after', async (t) => {
  const buckets = new LimitBuckets(publishedLimits({ ...NO_LIMITS, bytesRead: 1 << 20, burst: 0.1 }));
  t.equal(buckets.take(true, 8 << 20, SECOND), 0);
  t.equal(buckets.take(true, 512, SECOND), 7900);
  t.equal(buckets.take(false, 8 << 20, SECOND), 0, 'writes are not limited');
});

t.test('limits are changed one by one, and checked', async (t) => {
  const some = changedLimits(NO_LIMITS, { iops: 50, burstRead: 2 });
  t.match(some, { iops: 50, burstRead: 2, bytes: null });
  t.equal(limitsAnything(some), true);
  t.equal(limitsAnything(changedLimits(some, { iops: null })), false);
  t.throws(() => changedLimits(NO_LIMITS, { iops: 0 }), { errno: 'EINVAL', message: /above 0, not 0/ });
  t.throws(() => changedLimits(NO_LIMITS, { burst: 9999 }), { message: /from 0 to 3600/ });
  t.throws(() => changedLimits(NO_LIMITS, { wrong: 1 } as object), {
    errno: 'EINVAL',
    message: /no limit 'wrong'/,
  });
});

t.test('who goes away waiting leaves its place to others', async (t) => {
  const buckets = new LimitBuckets(publishedLimits({ ...NO_LIMITS, iops: 1, bytesRead: 4096, burst: 0 }));
  const waits = Array.from({ length: 100 }, () => buckets.take(true, 4096, SECOND));
  t.equal(waits.at(-1), 99_000);
  for (let n = 0; n < 99; n++) buckets.giveBack(true, 4096);
  t.equal(buckets.take(true, 4096, SECOND), 1000);
  t.equal(buckets.take(false, 512, SECOND), 2000, 'a write waits for the common one');
  const free = new LimitBuckets(publishedLimits({ ...NO_LIMITS, iops: 10, burst: 0 }));
  free.take(true, 0, SECOND);
  free.giveBack(true, 0);
  t.equal(free.take(true, 0, SECOND), 0);
  t.equal(free.take(true, 0, SECOND), 100, 'nobody has more than the rate for it');
});
