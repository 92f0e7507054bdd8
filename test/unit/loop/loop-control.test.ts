import t from 'tap';
import { errnoOf, isPending, LoopBench, stuckRequest } from '../../helpers/loop-bench.js';

t.test('devices are added by number, or with the lowest free one', async (t) => {
  await using bench = new LoopBench();
  t.equal(await bench.control.ctlAdd(1), 1);
  t.equal(await bench.control.ctlAdd(), 0);
  t.equal(await bench.control.ctlAdd(-1), 2);
  t.equal(await errnoOf(bench.control.ctlAdd(1)), 'EEXIST');
  t.equal(await errnoOf(bench.control.ctlAdd(2 ** 20)), 'EINVAL');
  t.equal(await errnoOf(bench.control.ctlAdd(1.5)), 'EINVAL');
  t.same(
    bench.control.devices().map((device) => device.name),
    ['loop0', 'loop1', 'loop2'],
  );
  t.equal(await errnoOf((async () => bench.control.device(7))()), 'ENODEV');
});

t.test('what can be removed', async (t) => {
  await using bench = new LoopBench();
  const device = await bench.bound();
  t.equal(await errnoOf(bench.control.ctlRemove(-1)), 'EINVAL');
  t.equal(await errnoOf(bench.control.ctlRemove(9)), 'ENODEV');
  t.equal(await errnoOf(bench.control.ctlRemove(0)), 'EBUSY', 'bound');
  await device.loopClrFd();
  await device.loOpen();
  t.equal(await errnoOf(bench.control.ctlRemove(0)), 'EBUSY', 'open');
  await device.loRelease();
  await bench.control.ctlRemove(0);
  t.equal(await errnoOf(bench.control.ctlRemove(0)), 'ENODEV');
  t.equal(device.state, 'deleting');
  t.equal(await errnoOf(device.loOpen()), 'ENXIO');
  t.equal(device.openers, 0);
  t.equal(await errnoOf(device.loopConfigure({ file: bench.file('x') })), 'EBUSY');
  t.equal(await errnoOf(device.loopClrFd()), 'ENXIO');
  t.equal(bench.history(device), 'add bind unbind remove');
  t.equal(await bench.control.ctlAdd(), 0, 'the number is free again');
});

t.test('a removal that races an open: one of them wins', async (t) => {
  await using bench = new LoopBench();
  for (let round = 0; round < 50; round++) {
    const device = await bench.device();
    const opening = errnoOf(device.loOpen());
    for (let delay = round % 5; delay > 0; delay--) await null;
    const outcome = [await errnoOf(bench.control.ctlRemove(device.number)), await opening].join();
    if (outcome !== 'none,ENXIO' && outcome !== 'EBUSY,none') t.fail(outcome);
    if (outcome === 'EBUSY,none') await device.loRelease();
  }
  t.pass('never both, never neither');
});

t.test('the lowest unbound device is free; else there is a new one', async (t) => {
  await using bench = new LoopBench();
  t.equal(await bench.control.ctlGetFree(), 0);
  t.equal(await bench.control.ctlGetFree(), 0, 'nobody took it');
  await bench.control.device(0).loopConfigure({ file: bench.file('a') });
  t.equal(await bench.control.ctlGetFree(), 1);
  await bench.control.device(0).loopClrFd();
  t.equal(await bench.control.ctlGetFree(), 0);
});

t.test('finders never collide, and take what is free first', async (t) => {
  await using bench = new LoopBench();
  await bench.device(3);
  const file = bench.file('disk.img');
  const found = await Promise.all(
    Array.from({ length: 50 }, () => bench.control.findAndConfigure({ file, readOnly: true })),
  );
  t.equal(new Set(found.map((status) => status.number)).size, 50);
  for (const status of found) t.equal(status.state, 'bound');
  t.ok(found.some((status) => status.number === 3));
});

t.test('a finder steps aside for somebody who names the device', async (t) => {
  await using bench = new LoopBench();
  const device = await bench.device();
  const finding = bench.control.findAndConfigure({ file: bench.file('found') });
  const naming = errnoOf(device.loopConfigure({ file: bench.file('named') }));
  const status = await finding;
  const named = await naming;
  t.equal(status.state, 'bound');
  if (named === 'none') t.equal(status.number, 1);
  else t.equal(named, 'EBUSY');
});

t.test('a failed find leaves no device claimed', async (t) => {
  await using bench = new LoopBench();
  const file = bench.file('disk.img');
  t.equal(await errnoOf(bench.control.findAndConfigure({ file: '/nowhere' })), 'EBADF');
  t.same(bench.control.devices(), [], 'not even a device was added');
  t.equal(await errnoOf(bench.control.findAndConfigure({ file, blockSize: 3 })), 'EINVAL');
  t.same(bench.control.devices(), [], 'what was added for it is gone');
  t.equal((await bench.control.findAndConfigure({ file })).number, 0);
});

t.test('events come in order, each when its state is there and no lock is held', async (t) => {
  await using bench = new LoopBench();
  const expected = { add: 'unbound', bind: 'bound', unbind: 'unbound', remove: 'deleting', change: 'bound' };
  bench.control.events.on('change', ({ device, kind, status }) => {
    t.equal(status.state, expected[kind], kind);
    const holders = bench.control.order.snapshot().holders.filter(({ name }) => name === `loop${device}`);
    t.same(
      holders.filter(({ lockClass }) => lockClass !== 'openMutex'),
      [],
      'no lock of the device is held',
    );
  });
  const file = bench.file('disk.img');
  const work = async (): Promise<void> => {
    const { number } = await bench.control.findAndConfigure({ file });
    const device = bench.control.device(number);
    await device.loopSetStatus({ offset: 512 });
    await device.loOpen();
    await device.loopClrFd();
    await device.loRelease();
    await bench.control.ctlRemove(number).catch(() => {});
  };
  await Promise.all(Array.from({ length: 8 }, work));
  t.same(
    bench.events.map((event) => event.sequence),
    bench.events.map((_, index) => index + 1),
  );
});

t.test('a listener that fails or starts operations of its own does no harm', async (t) => {
  await using bench = new LoopBench();
  let reaction: Promise<unknown> | undefined;
  bench.control.events.on('change', ({ kind, device }) => {
    if (kind === 'bind') reaction = bench.control.device(device).loopSetCapacity();
    throw new Error('a listener fails');
  });
  const device = await bench.bound();
  await reaction;
  t.equal(device.state, 'bound');
});

t.test('a stuck device does not keep others from being configured or cleared', async (t) => {
  await using bench = new LoopBench();
  const [stuck, other] = [await bench.bound(), await bench.bound()];
  const finish = stuckRequest(stuck);
  const toggling = stuck.loopSetStatus({ offset: 512 });
  t.ok(await isPending(toggling));
  await other.loopClrFd();
  await other.loopConfigure({ file: bench.file('next.img') });
  t.equal((await bench.control.findAndConfigure({ file: bench.file('found.img') })).number, 2);
  t.equal((await stuck.describe()).state, 'bound');
  finish();
  await toggling;
});
