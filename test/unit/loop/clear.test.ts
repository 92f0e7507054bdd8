import t from 'tap';
import { DeviceState, Num, Word } from '../../../driver/queue/slots.js';
import { errnoOf, isPending, LoopBench, stuckRequest } from '../../helpers/loop-bench.js';
import { openFiles } from '../../helpers/open-files.js';

/** Descriptors of this process that lead to files below a directory. */
const descriptorsBelow = (dir: string): string[] => openFiles().filter((path) => path.startsWith(`${dir}/`));

t.test('a clear forgets everything, and closes the file', async (t) => {
  await using bench = new LoopBench();
  const device = await bench.device();
  await device.loopConfigure({
    file: bench.file('disk.img'),
    offset: 512,
    sizeLimit: 4096,
    blockSize: 4096,
    readOnly: true,
    autoclear: true,
    partscan: true,
  });
  t.equal(descriptorsBelow(bench.dir.path).length, 1, 'one descriptor is held, not two');
  t.equal(await device.loopClrFd(), 'cleared');
  t.match(device.snapshot(), {
    state: 'unbound',
    openers: 0,
    file: null,
    size: 0,
    offset: 0,
    sizeLimit: 0,
    blockSize: 512,
    readOnly: false,
    autoclear: false,
    partscan: false,
    directIo: false,
    backingInode: null,
  });
  t.same(descriptorsBelow(bench.dir.path), []);
  const words = new Int32Array(device.queue.shared);
  t.equal(words[Word.STATE], DeviceState.UNBOUND);
  t.equal(words[Word.FD], -1);
  t.equal(new Float64Array(device.queue.shared)[Num.SIZE], 0);
  t.equal(bench.history(device), 'add bind unbind');
  t.equal(await errnoOf(device.loopClrFd()), 'ENXIO');
  t.equal(await errnoOf(device.loopGetStatus()), 'ENXIO');
  t.equal((await device.describe()).state, 'unbound');
});

t.test('refused configurations leave no descriptor behind', async (t) => {
  await using bench = new LoopBench();
  const device = await bench.device();
  const file = bench.file('disk.img');
  await t.rejects(device.loopConfigure({ file, blockSize: 3 }));
  await t.rejects(device.loopConfigure({ file: bench.dir.path }));
  await t.rejects(bench.control.findAndConfigure({ file, blockSize: 3 }));
  await t.rejects(device.loopChangeFd(file));
  t.same(descriptorsBelow(bench.dir.path), []);
});

t.test('with a session the clear is left to its close', async (t) => {
  await using bench = new LoopBench();
  const device = await bench.bound();
  await device.loOpen();
  t.equal(await device.loopClrFd(), 'deferred');
  t.match(device.snapshot(), { state: 'bound', autoclear: true, openers: 1 });
  t.equal(bench.history(device), 'add bind change', 'autoclear is news');
  t.equal(await device.loopClrFd(), 'deferred', 'once more is no error');
  t.equal(bench.history(device), 'add bind change', 'and no news');
  await device.loRelease();
  t.match(device.snapshot(), { state: 'unbound', openers: 0 });
  t.equal(bench.history(device), 'add bind change unbind');
});

t.test('with force the session stays and the device is unbound', async (t) => {
  await using bench = new LoopBench();
  const device = await bench.bound();
  await device.loOpen();
  t.equal(await device.loopClrFd({ force: true }), 'cleared');
  t.match(device.snapshot(), { state: 'unbound', openers: 1, autoclear: false });
  await device.loopConfigure({ file: bench.file('other.img') });
  await device.loRelease();
  t.equal(device.state, 'bound', 'the new binding has no autoclear');
});

t.test('a device with autoclear goes with its last close, not before', async (t) => {
  await using bench = new LoopBench();
  const device = await bench.bound({ autoclear: true });
  t.equal(device.state, 'bound', 'it waits for its first opener');
  await device.loOpen();
  await device.loOpen();
  await device.loRelease();
  t.equal(device.state, 'bound');
  await device.loRelease();
  t.equal(device.state, 'unbound');
});

t.test('a rundown waits for requests with no lock held; open and release wait for nothing', async (t) => {
  await using bench = new LoopBench();
  const device = await bench.bound();
  await device.loOpen();
  const finish = stuckRequest(device);
  const clearing = device.loopClrFd({ force: true });
  t.ok(await isPending(clearing));
  t.equal(device.state, 'rundown');
  t.equal(await errnoOf(device.loopSetDio(true)), 'ENXIO', 'loMutex is free');
  t.equal(await errnoOf(device.loopClrFd()), 'ENXIO', 'validateMutex is free');
  t.equal(await errnoOf(device.loopConfigure({ file: bench.file('other.img') })), 'EBUSY');
  await device.loOpen({ deferred: false });
  t.equal(device.openers, 3, 'an opener in the style of the kernel does not wait');
  await device.loRelease();
  const opening = device.loOpen();
  t.ok(await isPending(opening), 'a session waits until the clear has settled');
  t.equal(device.queue.freezeDepth, 1);
  finish();
  t.equal(await clearing, 'cleared');
  await opening;
  t.equal(device.state, 'unbound');
  await device.loRelease();
  await device.loRelease();
});

t.test('open and release go on while a dio toggle waits for a stuck request under loMutex', async (t) => {
  await using bench = new LoopBench();
  const device = await bench.bound();
  const finish = stuckRequest(device);
  const toggling = device.loopSetBlockSize(4096);
  t.ok(await isPending(toggling));
  await device.loOpen();
  await device.loOpen({ deferred: false });
  await device.loRelease();
  await device.loRelease();
  t.ok(await isPending(toggling));
  finish();
  await toggling;
  t.equal(device.snapshot().blockSize, 4096);
});

t.test('two clears at once leave the device to each other, and it is cleared', async (t) => {
  await using bench = new LoopBench();
  const device = await bench.bound();
  const outcomes = await Promise.allSettled([device.loopClrFd(), device.loopClrFd()]);
  t.match(device.snapshot(), { state: 'unbound', openers: 0 });
  for (const outcome of outcomes) {
    if (outcome.status === 'rejected') t.equal(outcome.reason.errno, 'ENXIO');
  }
  t.ok(outcomes.some((outcome) => outcome.status === 'fulfilled'));
});

t.test('a close that races a clear never takes a file that was bound since', async (t) => {
  await using bench = new LoopBench();
  const device = await bench.bound();
  const next = bench.file('next.img');
  // Unbound is announced before the clearing caller, an opener, has closed: this is that moment.
  bench.control.events.once('change', () => {
    void device.loopConfigure({ file: next, autoclear: true });
  });
  await device.loopClrFd();
  while (device.state !== 'bound' || device.openers > 0)
    await new Promise((resolve) => setImmediate(resolve));
  t.match(device.snapshot(), { state: 'bound', file: next, autoclear: true });
  await device.loOpen();
  await device.loRelease();
  t.equal(device.state, 'unbound');
});

t.test(
  'a last close that races a new open: the file stays for the opener, or is gone before it begins',
  async (t) => {
    await using bench = new LoopBench();
    const file = bench.file('disk.img');
    const device = await bench.device();
    const seen = { bound: 0, unbound: 0 };
    for (let round = 0; round < 400; round++) {
      if (device.state === 'unbound') await device.loopConfigure({ file, autoclear: true });
      await device.loOpen();
      const closing = device.loRelease();
      for (let delay = round % 8; delay > 0; delay--) await null;
      if (round % 3 === 0) await new Promise((resolve) => setImmediate(resolve));
      await device.loOpen();
      const state = device.state;
      if (state !== 'bound' && state !== 'unbound') t.fail(`a session begins on a device that is ${state}`);
      else seen[state]++;
      await closing;
      await new Promise((resolve) => setImmediate(resolve));
      if (device.state !== state) t.fail(`a session that began ${state} finds the device ${device.state}`);
      await device.loRelease();
      if (device.state !== 'unbound') t.fail('the last close did not clear');
    }
    t.ok(seen.bound > 0 && seen.unbound > 0, `both ways happened: ${JSON.stringify(seen)}`);
    t.equal(device.openers, 0);
  },
);
