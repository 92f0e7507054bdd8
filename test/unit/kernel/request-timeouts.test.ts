import t from 'tap';
import { RequestTimeouts } from '../../../driver/kernel/request-timeouts.js';

/** Losses at these times, seconds: at which of them it was too much. */
function tooMany(timeout: number, times: readonly number[]): number[] {
  let now = 0;
  const timeouts = new RequestTimeouts(timeout, () => now * 1000);
  return times.filter((time) => {
    now = time;
    return timeouts.areTooMany();
  });
}

t.test(
  'what times out again and again is sent again three times, then refused, then tried anew',
  async (t) => {
    t.strictSame(tooMany(3, [10, 13, 16, 19, 23, 27, 31, 35]), [19, 31]);
  },
);

t.test('sockets that are lost for another reason, or long after one another, are no such row', async (t) => {
  t.strictSame(tooMany(3, [10, 10.1, 10.2, 10.3, 10.4, 10.5]), [], 'killed at once each time');
  t.strictSame(tooMany(3, [10, 30, 50, 70, 90]), [], 'it worked in between');
});

t.test('without a timeout nothing is ever refused', async (t) => {
  t.strictSame(tooMany(0, [5, 10, 15, 20, 25, 30]), []);
});
