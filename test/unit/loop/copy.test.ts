import { existsSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { setImmediate as turn } from 'node:timers/promises';
import koffi from 'koffi';
import t from 'tap';
import { examineDelta } from '../../../driver/store/delta/examine.js';
import { errnoOf, MIB } from '../../helpers/loop-bench.js';
import { OverlayBench } from '../../helpers/overlays.js';

t.setTimeout(120_000);

/** Random requests until the copy has ended; where the device is frozen the next turn tries again. */
async function busyUntilEnd(bench: OverlayBench): Promise<void> {
  let isOver = false;
  const ended = bench.device.copyEnds().then(() => {
    isOver = true;
  });
  while (!isOver) {
    if (bench.device.queue.freezeDepth === 0) bench.step();
    await turn();
  }
  await ended;
}

t.test('commit: the base has everything, the delta is gone, and nobody noticed', async (t) => {
  await using bench = await OverlayBench.start({ bytes: 8 * MIB + 1536 });
  bench.steps(100);
  const left: boolean[] = [];
  bench.loops.control.events.on('change', ({ status }) => {
    if (status.delta === null) left.push(existsSync(bench.delta));
  });
  await bench.device.commit();
  t.equal(await errnoOf(bench.device.commit()), 'EBUSY');
  t.equal(await errnoOf(bench.device.loopSetCapacity()), 'EBUSY');
  await busyUntilEnd(bench);
  t.match(bench.device.copyStatus(), { kind: 'commit', state: 'done', file: bench.base, waitedMs: Number });
  t.match(bench.device.snapshot(), { delta: null, layers: 1, file: bench.base });
  t.ok(left.length > 0 && left.every((isThere) => !isThere), 'it was gone when the base was the device');
  bench.steps(50);
  bench.check();
  t.ok(bench.baseContent().equals(bench.model));
});

t.test('flatten: one raw file in place of the delta; the base stays as it is', async (t) => {
  await using bench = await OverlayBench.start({ bytes: 4 * MIB });
  const before = bench.baseContent();
  bench.steps(100);
  await bench.device.flatten();
  await busyUntilEnd(bench);
  t.match(bench.device.snapshot(), { delta: null, layers: 1, file: bench.delta });
  bench.check();
  t.ok(readFileSync(bench.delta).equals(bench.model));
  t.ok(bench.baseContent().equals(before));
  t.equal(await errnoOf(bench.device.flatten()), 'EINVAL', 'it is plain by now');
});

t.test('move: to another file and back; the old one is as it was at the end', async (t) => {
  await using bench = await OverlayBench.start({ bytes: 4 * MIB });
  await bench.rebind({ file: bench.base });
  bench.steps(50);
  const first = bench.dir.file('moved');
  t.equal(await errnoOf(bench.device.move(bench.base)), 'EEXIST');
  await bench.device.move(first);
  await busyUntilEnd(bench);
  t.equal(bench.device.snapshot().file, first);
  bench.steps(50);
  bench.check();
  await bench.device.move(bench.dir.file('again'));
  await busyUntilEnd(bench);
  bench.check();
  t.ok(readFileSync(bench.dir.file('again')).equals(bench.model));
  t.strictSame(bench.loops.control.order.reports, []);
});

t.test('a copy that is cancelled, or whose device is cleared, leaves all as it was', async (t) => {
  await using bench = await OverlayBench.start({ bytes: 8 * MIB });
  bench.steps(50);
  const config = { file: bench.base, overlay: { delta: bench.delta } };
  for (const begin of [
    () => bench.device.move(bench.dir.file('new'), { rate: MIB }),
    () => bench.device.flatten(undefined, { rate: MIB }),
    () => bench.device.commit({ rate: MIB }),
  ]) {
    await begin();
    for (let i = 0; i < 20; i++) {
      bench.step();
      await turn();
    }
    await bench.device.cancelCopy();
    t.equal(bench.device.copyStatus()?.state, 'cancelled');
    bench.check();
    t.notOk(existsSync(bench.dir.file('new')));
    await bench.rebind(config);
    bench.check();
  }
  t.equal(await errnoOf(bench.device.cancelCopy()), 'ENOENT');
  await bench.device.move(bench.dir.file('new'), { rate: MIB });
  await bench.rebind(config);
  t.notOk(existsSync(bench.dir.file('new')));
  bench.check();
});

t.test('what can not be committed is refused', async (t) => {
  await using bench = await OverlayBench.start({ bytes: MIB });
  const { control, dir } = bench.loops;
  const other = await control.findAndConfigure({ file: bench.base, overlay: { delta: dir.file('other') } });
  t.equal(await errnoOf(bench.device.commit()), 'EBUSY', 'others have the base');
  await control.device(other.number).loopClrFd({ force: true });
});

t.test('a delta over a snapshot is committed into that, which is then the one that is written', async (t) => {
  await using bench = await OverlayBench.start({ bytes: 4 * MIB + 1536, blockSize: 65_536 });
  const { control, dir } = bench.loops;
  const before = bench.baseContent();
  const snapshot = dir.file('snapshot');
  bench.steps(60);
  const [taken] = await control.snapshot([{ number: 0, file: snapshot }]);
  if (taken?.kind !== 'sealed') return t.comment('the file system has clones');
  bench.steps(60);
  await bench.device.commit();
  await busyUntilEnd(bench);
  bench.check();
  const [top, base] = bench.device.layers();
  t.match(
    [top, base],
    [
      { kind: 'delta', path: snapshot },
      { kind: 'base', path: bench.base },
    ],
  );
  t.equal(bench.device.layers().length, 2);
  t.notOk(existsSync(bench.delta), 'it is gone');
  t.ok(bench.baseContent().equals(before));
  bench.steps(60);
  bench.check();
  t.strictSame((await examineDelta(snapshot)).faults, []);
  await bench.rebind({ file: bench.base, overlay: { delta: snapshot } });
  bench.check();

  t.comment('cancelled, it is sealed again');
  const second = dir.file('second');
  await control.snapshot([{ number: 0, file: second }]);
  bench.steps(60);
  await bench.device.commit({ rate: MIB });
  bench.steps(20);
  await bench.device.cancelCopy();
  t.equal(bench.device.layers().length, 3);
  bench.check();
  t.match((await examineDelta(second)).header, { isSealed: true });
  await bench.rebind({ file: bench.base, overlay: { delta: snapshot } });
  bench.check();
});

t.test('an overlay that has grown beyond its base is committed: the base grows', async (t) => {
  await using bench = await OverlayBench.start({ bytes: MIB });
  bench.steps(20);
  truncateSync(bench.delta, statSync(bench.delta).size + MIB);
  await bench.device.loopSetCapacity();
  bench.model = Buffer.concat([bench.model, Buffer.alloc(MIB)]);
  t.equal(bench.device.snapshot().size, 2 * MIB);
  bench.check();
  await bench.device.commit();
  await busyUntilEnd(bench);
  t.match(bench.device.copyStatus(), { state: 'done', message: null });
  bench.check();
  t.ok(bench.baseContent().equals(bench.model));
});

/** While it is in scope this process can open no more files. */
function noMoreFiles(): Disposable {
  const libc = koffi.load('libc.so.6');
  const get = libc.func('int getrlimit(int resource, _Out_ uint64_t *limits)');
  const set = libc.func('int setrlimit(int resource, const uint64_t *limits)');
  const before = new BigUint64Array(2);
  get(RLIMIT_NOFILE, before);
  set(RLIMIT_NOFILE, BigUint64Array.of(0n, before[1] ?? 0n));
  return { [Symbol.dispose]: () => void set(RLIMIT_NOFILE, before) };
}
const RLIMIT_NOFILE = 7;

t.test('a file that is there stays, also where nobody can look whether it is', async (t) => {
  await using bench = await OverlayBench.start({ bytes: MIB });
  const precious = bench.dir.file('precious');
  writeFileSync(precious, 'of great worth');
  for (const begin of [
    () => bench.device.move(precious),
    () => bench.device.flatten(precious),
    () => bench.loops.control.snapshot([{ number: 0, file: precious }]),
  ]) {
    const files = noMoreFiles();
    const errno = await errnoOf(begin());
    files[Symbol.dispose]();
    t.equal(errno, 'EMFILE');
    t.equal(readFileSync(precious, 'utf8'), 'of great worth');
  }
  bench.steps(20);
  bench.check();
});
