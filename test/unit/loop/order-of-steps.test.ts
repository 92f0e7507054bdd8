/** In which order the steps of an operation come, where a mistake shows only while something is stuck or fails. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { LoopError } from '../../../driver/errno.js';
import { BackingFile } from '../../../driver/io/backing-file.js';
import { OrderedMutex } from '../../../driver/locks/mutex.js';
import { checkedLockOrder } from '../../helpers/lockdep.js';
import { errnoOf, isPending, LoopBench, stuckRequest } from '../../helpers/loop-bench.js';
import { openFiles } from '../../helpers/open-files.js';

/** True when this process has a descriptor that leads to the file. */
const isOpen = (path: string): boolean => openFiles().includes(path);

/** Replaces a method of every backing file until the test is over. */
function replace<K extends 'close' | 'sync' | 'setDirect'>(t: Test, method: K, by: BackingFile[K]): void {
  const original = BackingFile.prototype[method];
  BackingFile.prototype[method] = by;
  t.teardown(() => {
    BackingFile.prototype[method] = original;
  });
}

t.test('a clear closes the file when no request is in flight any more', async (t) => {
  await using bench = new LoopBench();
  const device = await bench.bound();
  const file = bench.dir.file('loop0.img');
  const finish = stuckRequest(device);
  const clearing = device.loopClrFd();
  t.ok(await isPending(clearing));
  t.equal(device.state, 'rundown');
  t.ok(isOpen(file));
  finish();
  await clearing;
  t.notOk(isOpen(file));
});

t.test('change_fd closes the old file when no request is in flight any more', async (t) => {
  await using bench = new LoopBench();
  const device = await bench.bound({ readOnly: true });
  const file = bench.dir.file('loop0.img');
  const finish = stuckRequest(device);
  const changing = device.loopChangeFd(bench.file('other.img'));
  t.ok(await isPending(changing));
  t.ok(isOpen(file));
  finish();
  await changing;
  t.notOk(isOpen(file));
});

t.test('a close that takes long holds up nobody: the device is unbound and free before', async (t) => {
  await using bench = new LoopBench();
  const device = await bench.bound({ autoclear: true });
  let proceed: () => void = () => {};
  const { close } = BackingFile.prototype;
  replace(t, 'close', async function (this: BackingFile) {
    await new Promise<void>((resolve) => {
      proceed = resolve;
    });
    await close.call(this);
  });
  await device.loOpen();
  await device.loRelease();
  t.match(device.snapshot(), { state: 'unbound', openers: 0 });
  t.ok(isOpen(bench.dir.file('loop0.img')));
  await device.loopConfigure({ file: bench.file('other.img') });
  const idle = device.idle();
  t.ok(await isPending(idle), 'but it is not over');
  proceed();
  await idle;
  t.notOk(isOpen(bench.dir.file('loop0.img')));
  BackingFile.prototype.close = close;
});

t.test('a direct I/O toggle that the file system refuses thaws the device', async (t) => {
  await using bench = new LoopBench();
  const device = await bench.bound();
  const before = device.snapshot();
  await device.loopSetBlockSize(4096);
  replace(t, 'setDirect', async () => {
    throw new LoopError('EINVAL', 'This file does not take direct I/O (EINVAL).');
  });
  t.equal(await errnoOf(device.loopSetDio(true)), 'EINVAL');
  t.equal(device.queue.freezeDepth, 0);
  t.match(device.snapshot(), { state: 'bound', directIo: false, file: before.file });
  t.equal(bench.history(device), 'add bind change', 'nothing is announced that did not happen');
});

t.test(
  'a direct I/O toggle writes back before it freezes; an error of that is told, with nothing changed',
  async (t) => {
    await using bench = new LoopBench();
    const device = await bench.bound();
    await device.loopSetBlockSize(4096);
    const depths: number[] = [];
    replace(t, 'setDirect', async () => {});
    replace(t, 'sync', async () => {
      depths.push(device.queue.freezeDepth);
      await nextTurn();
      depths.push(device.queue.freezeDepth);
    });
    await device.loopSetDio(true);
    t.same(depths, [0, 0]);
    replace(t, 'sync', async () => {
      throw new LoopError('EIO', 'The file can not be synchronised (EIO).');
    });
    const before = device.snapshot();
    t.equal(await errnoOf(device.loopSetDio(false)), 'EIO');
    t.same(device.snapshot(), before);
  },
);

t.test('after a refused configure an open waits for nothing', async (t) => {
  await using bench = new LoopBench();
  const device = await bench.device();
  t.equal(await errnoOf(device.loopConfigure({ file: bench.file('a.img'), blockSize: 3 })), 'EINVAL');
  t.notOk(await isPending(device.loOpen()));
  await device.loRelease();
});

t.test('the clear of a last close inherits no lock of whoever closes', async (t) => {
  const order = checkedLockOrder(t);
  await using bench = new LoopBench({ order });
  const device = await bench.bound({ autoclear: true });
  const machine = new OrderedMutex(order, 'systemTransitionMutex', 'machine');
  for (const deferred of [true, false]) {
    if (device.state === 'unbound')
      await device.loopConfigure({ file: bench.file('b.img'), autoclear: true });
    await order.task('resume', async () => {
      using _transition = await machine.acquire();
      await device.loOpen({ deferred });
      await device.loRelease({ deferred });
      while (device.state !== 'unbound') await nextTurn();
    });
  }
  t.same(order.reports, []);
});
