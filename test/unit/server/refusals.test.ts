import t from 'tap';
import { lacksDescriptors } from '../../../server/descriptors.js';
import { Refusals } from '../../../server/refusals.js';

t.test('however many connections are refused, a line a second tells of them', async (t) => {
  let now = 5000;
  const lines: string[] = [];
  const refusals = new Refusals(
    (reason, count) => lines.push(`${count}: ${reason}`),
    () => now,
  );
  for (; now < 8000; now += 10) refusals.add('full');
  t.strictSame(lines, ['1: full', '100: full', '100: full']);
});

t.test(
  'the last descriptors are not for clients, and who is refused hears of the limit by its name',
  async (t) => {
    t.equal(lacksDescriptors(100, 1024), undefined);
    t.equal(lacksDescriptors(959, 1024), undefined);
    t.match(lacksDescriptors(960, 1024), /960 of 1024 \(RLIMIT_NOFILE/);
    t.equal(lacksDescriptors(1_000_000, Number.POSITIVE_INFINITY), undefined);
  },
);
