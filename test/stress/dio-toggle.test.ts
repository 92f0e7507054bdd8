import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { nbdJob, parseFio, runFio } from '../helpers/fio.js';
import { errnoOf, MIB } from '../helpers/loop-bench.js';
import { ServedLoops } from '../helpers/served-loops.js';
import { skipUnless } from '../helpers/tools.js';

/** Seconds of toggling. */
const SECONDS = Number(process.env.NBDLOOP_DIO_SECONDS ?? '20');
const TOGGLES_PER_SECOND = 50;

t.setTimeout(SECONDS * 1000 + 240_000);

t.test('direct I/O is toggled under a verifying fio', { skip: skipUnless('fio') }, async (t) => {
  await using served = await ServedLoops.start();
  const device = await served.bench.bound({ bytes: 256 * MIB });
  await device.loopSetBlockSize(4096);
  const obstacle = await errnoOf(device.loopSetDio(true));
  if (obstacle !== 'none') {
    t.comment(`the temporary directory takes no direct I/O (${obstacle}): the toggles are refused`);
  }
  const fio = runFio(
    nbdJob(served.uri('loop0'), {
      rw: 'randrw',
      bs: '4k',
      iodepth: 32,
      size: '256m',
      verify: 'crc32c',
      verify_fatal: 1,
      verify_backlog: 1024,
      verify_state_save: 0,
      time_based: true,
      runtime: SECONDS,
    }),
    (SECONDS + 200) * 1000,
  );
  const isOver = fio.then(() => true);
  const running = (): Promise<boolean> => Promise.race([isOver.then(() => false), sleep(0, true)]);
  let toggles = 0;
  const began = performance.now();
  for (; await running(); toggles++) {
    await errnoOf(device.loopSetDio(toggles % 2 === 0));
    const due = began + ((toggles + 1) * 1000) / TOGGLES_PER_SECOND;
    await sleep(Math.max(0, due - performance.now()));
  }
  const seconds = (performance.now() - began) / 1000;
  const ended = await fio;
  t.equal(ended.status, 0, 'no error, no mismatch', { ended });
  t.strictSame(parseFio(ended.stdout).errors, [0]);
  t.ok(toggles > 10, `${toggles} toggles in ${seconds.toFixed(1)} s`);
  const { count, p50, p99, max } = device.queue.freezeTimes.summary();
  const [median, high, worst] = [p50, p99, max].map((ms) => `${ms.toFixed(2)} ms`);
  t.comment(`${count} freezes, in which requests waited ${median} (p50), ${high} (p99), ${worst} at most`);
  t.equal(device.queue.inFlight, 0);
  t.same(served.bench.control.order.reports, []);
});
