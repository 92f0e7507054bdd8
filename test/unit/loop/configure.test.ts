import { execFileSync } from 'node:child_process';
import { linkSync, mkdirSync, symlinkSync } from 'node:fs';
import t from 'tap';
import type { LoopDevice } from '../../../driver/loop/loop-device.js';
import type { LoopConfig } from '../../../driver/loop/types.js';
import { DeviceState, LoFlag, Num, Word } from '../../../driver/queue/slots.js';
import { LoopBench, MIB, publishedFlags } from '../../helpers/loop-bench.js';

/** The errno that an operation fails with; the device must be as it was. */
async function errnoOf(device: LoopDevice, operation: Promise<unknown>): Promise<string> {
  const before = device.snapshot();
  const error = await operation.then(
    () => ({ errno: 'none', message: '' }),
    (error: { errno: string; message: string }) => error,
  );
  t.match(error.message, /^[A-Za-z][^\n]+\.$/, 'the message is one sentence');
  t.same(device.snapshot(), before, 'nothing has changed');
  return error.errno;
}

t.test('a bound device shows its file, and the data path sees it', async (t) => {
  await using bench = new LoopBench();
  const device = await bench.device(3);
  const file = bench.file('disk.img', MIB + 700);
  await device.loopConfigure({ file, offset: 1024, blockSize: 1024, partscan: true });
  const status = await device.loopGetStatus();
  t.match(status, {
    number: 3,
    name: 'loop3',
    state: 'bound',
    file,
    size: MIB - 512,
    offset: 1024,
    sizeLimit: 0,
    blockSize: 1024,
    readOnly: false,
    partscan: true,
    autoclear: false,
    directIo: false,
    openers: 0,
  });
  const words = new Int32Array(device.queue.shared);
  const nums = new Float64Array(device.queue.shared);
  t.equal(words[Word.STATE], DeviceState.BOUND);
  t.ok((words[Word.FD] ?? -1) >= 0);
  t.equal(publishedFlags(device), 0);
  t.equal(nums[Num.OFFSET], 1024);
  t.equal(nums[Num.SIZE], MIB - 512);
  t.equal(bench.history(device), 'add bind');
});

t.test('sizes are whole sectors of what the window leaves, never negative', async (t) => {
  await using bench = new LoopBench();
  const cases: [bytes: number, config: Omit<LoopConfig, 'file'>, size: number][] = [
    [0, {}, 0],
    [511, {}, 0],
    [1535, {}, 1024],
    [MIB, { offset: 1 }, MIB - 512],
    [MIB, { offset: MIB }, 0],
    [MIB, { offset: 2 * MIB }, 0],
    [MIB, { sizeLimit: 1000 }, 512],
    [MIB, { sizeLimit: 2 * MIB }, MIB],
    [MIB, { offset: MIB - 512, sizeLimit: 4096 }, 512],
    [MIB, { offset: 2n ** 63n - 1n, sizeLimit: 2n ** 63n - 1n }, 0],
  ];
  for (const [bytes, config, size] of cases) {
    const device = await bench.device();
    await device.loopConfigure({ file: bench.file(device.name, bytes), ...config });
    t.equal(
      device.snapshot().size,
      size,
      `${bytes} bytes, offset ${config.offset}, limit ${config.sizeLimit}`,
    );
  }
});

t.test('what is refused, and with which errno', async (t) => {
  await using bench = new LoopBench();
  const device = await bench.device();
  const file = bench.file('disk.img');
  const fifo = bench.dir.file('fifo');
  execFileSync('mkfifo', [fifo]);
  mkdirSync(bench.dir.file('folder'));
  symlinkSync(bench.dir.file('nowhere'), bench.dir.file('dangling'));
  const unknown = { file, loud: true } as unknown as LoopConfig;
  const notBoolean = { file, partscan: 1 } as unknown as LoopConfig;
  const cases: [title: string, config: LoopConfig, errno: string][] = [
    ['no such file', { file: bench.dir.file('nowhere') }, 'EBADF'],
    ['no name', { file: '' }, 'EBADF'],
    ['a dangling symbolic link', { file: bench.dir.file('dangling') }, 'EBADF'],
    ['a file as folder', { file: `${file}/x` }, 'EBADF'],
    ['a directory', { file: bench.dir.file('folder') }, 'EINVAL'],
    ['a FIFO without a writer', { file: fifo }, 'EINVAL'],
    ['a character device', { file: '/dev/null' }, 'EINVAL'],
    ['an unknown flag', unknown, 'EINVAL'],
    ['a flag that is no boolean', notBoolean, 'EINVAL'],
    ['a block size that is no power of two', { file, blockSize: 1000 }, 'EINVAL'],
    ['a block size below a sector', { file, blockSize: 256 }, 'EINVAL'],
    ['a block size above a page', { file, blockSize: 8192 }, 'EINVAL'],
    ['a block size of 0', { file, blockSize: 0 }, 'EINVAL'],
    ['an offset over 2^63 - 1', { file, offset: 2n ** 63n }, 'EOVERFLOW'],
    ['a negative offset', { file, offset: -1 }, 'EOVERFLOW'],
    ['a size limit over 2^63 - 1', { file, sizeLimit: 2 ** 64 }, 'EOVERFLOW'],
    ['a broken offset', { file, offset: 0.5 }, 'EINVAL'],
    ['a file comes before all else', { file: '/nowhere', blockSize: 3, offset: -1 }, 'EBADF'],
    ['the kind of file comes before the block size', { file: '/dev/null', offset: -1 }, 'EINVAL'],
    ['the block size comes before the offset', { file, blockSize: 3, offset: -1 }, 'EINVAL'],
  ];
  for (const [title, config, errno] of cases) {
    t.equal(await errnoOf(device, device.loopConfigure(config)), errno, title);
  }
  t.equal(bench.history(device), 'add', 'no event tells of a refusal');
  await device.loopConfigure({ file });
  t.equal(await errnoOf(device, device.loopConfigure({ file })), 'EBUSY', 'already bound');
  t.equal(await errnoOf(device, device.loopConfigure({ file: '/dev/null', blockSize: 3 })), 'EBUSY');
  t.equal(await errnoOf(device, device.loopConfigure({ file: '/nowhere' })), 'EBADF', 'before EBUSY');
});

t.test('read-only by wish', async (t) => {
  await using bench = new LoopBench();
  const device = await bench.bound({ readOnly: true });
  t.equal(device.snapshot().readOnly, true);
  t.equal(publishedFlags(device), LoFlag.READ_ONLY);
});

t.test('read-only where the file cannot be written', async (t) => {
  await using bench = new LoopBench();
  const device = await bench.device();
  // An attribute of sysfs that even root can't open for writing; it is a regular file of one page.
  await device.loopConfigure({ file: '/sys/kernel/uevent_seqnum' });
  t.match(device.snapshot(), { readOnly: true, size: 4096 });
});

t.test('symbolic links are resolved, and the inode is told', async (t) => {
  await using bench = new LoopBench();
  const file = bench.file('disk.img');
  symlinkSync(file, bench.dir.file('link'));
  linkSync(file, bench.dir.file('hard'));
  const [soft, hard] = [await bench.device(), await bench.device()];
  await soft.loopConfigure({ file: bench.dir.file('link') });
  await hard.loopConfigure({ file: bench.dir.file('hard') });
  t.equal(soft.snapshot().file, file);
  t.equal(hard.snapshot().file, bench.dir.file('hard'));
  t.equal(soft.snapshot().backingInode, hard.snapshot().backingInode);
});

t.test('two configures at once: one wins, the other is EBUSY', async (t) => {
  await using bench = new LoopBench();
  const device = await bench.device();
  const files = ['a', 'b', 'c'].map((name) => bench.file(name));
  const results = await Promise.allSettled(files.map((file) => device.loopConfigure({ file })));
  t.equal(results.filter((result) => result.status === 'fulfilled').length, 1);
  for (const result of results) if (result.status === 'rejected') t.equal(result.reason.errno, 'EBUSY');
});
