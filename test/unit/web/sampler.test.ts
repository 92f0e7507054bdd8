import t from 'tap';
import { LaneNum, LaneWord, laneNum, laneWord } from '../../../driver/queue/slots.js';
import { PERIOD_MS, Sampler } from '../../../driver/web/sampler.js';
import { fakeContext } from '../control/fake-loops.js';

async function setUp() {
  const context = fakeContext();
  await context.loops.findAndConfigure({ file: '/a.img' });
  await context.loops.ctlAdd();
  const sampler = new Sampler(context);
  const { shared } = context.loops.device(0).queue;
  const numbers = new Float64Array(shared);
  const words = new Int32Array(shared);
  let at = 1_000_000;
  const look = () => {
    at += PERIOD_MS;
    return sampler.look(at);
  };
  look();
  /** So many reads on a thread, each of 4 KiB and in this bucket of the histogram. */
  const read = (lane: number, times: number, bucket: number): void => {
    for (const [counter, by] of [
      [LaneNum.READS, times],
      [LaneNum.READ_BYTES, times * 4096],
      [LaneNum.LATENCY + bucket, times],
    ] as const) {
      numbers[laneNum(lane) + counter] = (numbers[laneNum(lane) + counter] ?? 0) + by;
    }
  };
  const fly = (requests: number): void => {
    words[laneWord(3) + LaneWord.IN_FLIGHT] = requests;
  };
  return { context, sampler, look, read, fly, at: () => at };
}

t.test('rates are what all threads did since the last look', async (t) => {
  const { look, read } = await setUp();
  read(0, 98, 5);
  read(7, 102, 9);
  t.match(look().devices, [
    { number: 0, reads: 100, writes: 0, readBytes: 409_600, p50: 512, p99: 512, trouble: null },
  ]);
  t.match(look().devices, [{ number: 0, reads: 0, p99: 0 }], 'told that it is idle');
  t.strictSame(look().devices, [], 'and then no more');
});

t.test('who is attached, opened or frozen is told without a request', async (t) => {
  const { context, look } = await setUp();
  context.attachments.attached.add(1);
  t.match(look().devices, [{ number: 1, node: '/dev/nbd1' }]);
  const freeze = context.loops.device(0).queue.freezes.begin('a task');
  t.match(look().devices, [{ number: 0, isFrozen: true, freezes: 1 }]);
  freeze.ended();
  t.match(look().devices, [{ number: 0, isFrozen: false }]);
});

t.test('slow and stalled devices are told since when', async (t) => {
  const { look, read, fly, sampler } = await setUp();
  read(0, 100, 4);
  read(0, 2, 18);
  const [slow] = look().devices;
  t.match(slow, { trouble: 'slow' });
  read(0, 100, 18);
  t.match(look().devices, [{ trouble: 'slow', since: slow?.since }], 'since the first look');
  for (let calm = 0; calm < 3; calm++) look();
  t.match(sampler.latest.devices[0], { trouble: null, since: 0 });
  fly(1);
  t.match(look().devices, [{ inFlight: 1, trouble: null }], 'one look is no proof');
  t.match(look().devices, [{ trouble: 'stalled' }]);
  read(0, 1, 3);
  t.match(look().devices, [{ trouble: null }]);
});

t.test('the history of ten minutes and of four hours is kept', async (t) => {
  const { look, read, sampler, at } = await setUp();
  read(0, 200, 5);
  look();
  const fine = sampler.history(0, 'fine', 9999);
  t.equal(fine.end, at());
  t.strictSame(fine.rates.reads, [0, 100]);
  t.equal(fine.heat.at(-1)?.[5], 1 + Math.round(Math.log2(200) * 8));
  for (let looks = 0; looks < 400; looks++) {
    read(0, 20, 6);
    look();
  }
  const later = sampler.history(0, 'fine', 9999);
  t.equal(later.rates.reads.length, 300);
  t.ok(later.rates.reads.every((value) => value === 10));
  t.strictSame(sampler.history(0, 'fine', 3).rates.reads, [10, 10, 10]);
  const coarse = sampler.history(0, 'coarse', 9999);
  t.equal(coarse.period, 60_000);
  t.equal(coarse.rates.reads.length, 13);
  t.equal(coarse.rates.reads[5], 10);
  t.throws(() => sampler.history(9, 'fine', 1), /no device/);
  const { devices } = sampler.sparkLines();
  t.strictSame(Object.keys(devices), ['0'], 'of those that did something');
  t.equal(devices['0']?.length, 60);
});

t.test('a device that was removed and made anew begins anew', async (t) => {
  const { context, look, read, sampler } = await setUp();
  read(0, 10, 3);
  look();
  context.loops.all.splice(0, 1);
  look();
  t.throws(() => sampler.history(0, 'fine', 1));
  await context.loops.ctlAdd(0);
  t.strictSame(look().devices, []);
  t.strictSame(sampler.history(0, 'fine', 1).rates.reads, [0]);
});
