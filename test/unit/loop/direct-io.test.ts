import { execFileSync } from 'node:child_process';
import { constants, readFileSync } from 'node:fs';
import t from 'tap';
import type { LoopDevice } from '../../../driver/loop/loop-device.js';
import { LoFlag, Word } from '../../../driver/queue/slots.js';
import {
  errnoOf,
  isPending,
  LoopBench,
  MIB,
  publishedFlags,
  stuckRequest,
} from '../../helpers/loop-bench.js';

/** Open flags of the device's descriptor as the kernel has them. */
function isDirect(device: LoopDevice): boolean {
  const fd = new Int32Array(device.queue.shared)[Word.FD];
  const flags = /^flags:\s*(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1'))?.[1] ?? '0';
  return (Number.parseInt(flags, 8) & constants.O_DIRECT) !== 0;
}

/** The reason why nothing here can be tested in the temporary directory. */
async function obstacle(): Promise<string | false> {
  await using bench = new LoopBench();
  const device = await bench.bound();
  await device.loopSetBlockSize(4096);
  return (await errnoOf(device.loopSetDio(true))) === 'none'
    ? false
    : 'the file system of the temporary directory takes no direct I/O';
}

const skip = await obstacle();

async function directDevice(bench: LoopBench): Promise<LoopDevice> {
  const device = await bench.device();
  await device.loopConfigure({ file: bench.file('disk.img'), blockSize: 4096 });
  await device.loopSetDio(true);
  return device;
}

t.test('on and off, on the one descriptor', { skip }, async (t) => {
  await using bench = new LoopBench();
  const device = await directDevice(bench);
  t.ok(isDirect(device));
  t.equal(device.snapshot().directIo, true);
  t.equal(publishedFlags(device), LoFlag.DIRECT_IO);
  await device.loopSetDio(true);
  await device.loopSetDio(false);
  t.notOk(isDirect(device));
  t.equal(publishedFlags(device), 0);
  t.equal(bench.history(device), 'add bind change change', 'asking for what is so changes nothing');
});

t.test('the flip waits for the requests in flight', { skip }, async (t) => {
  await using bench = new LoopBench();
  const device = await directDevice(bench);
  const finish = stuckRequest(device);
  const toggling = device.loopSetDio(false);
  t.ok(await isPending(toggling));
  t.ok(isDirect(device), 'a request in flight sees no half of it');
  finish();
  await toggling;
  t.notOk(isDirect(device));
});

t.test('an unaligned offset is EINVAL, and one that comes later ends direct I/O', { skip }, async (t) => {
  await using bench = new LoopBench();
  const device = await directDevice(bench);
  await device.loopSetStatus({ offset: 256 });
  t.equal(device.snapshot().directIo, false);
  t.notOk(isDirect(device));
  t.equal(await errnoOf(device.loopSetDio(true)), 'EINVAL');
  await device.loopSetStatus({ offset: 4096 });
  t.equal(device.snapshot().directIo, false, 'it does not come back by itself');
  await device.loopSetDio(true);
  t.ok(isDirect(device));
});

t.test(
  'configure with direct I/O has it where it can, and goes without where it cannot',
  { skip },
  async (t) => {
    await using bench = new LoopBench();
    const [aligned, unaligned] = [await bench.device(), await bench.device()];
    await aligned.loopConfigure({ file: bench.file('a'), blockSize: 4096, directIo: true });
    t.ok(isDirect(aligned));
    await unaligned.loopConfigure({ file: bench.file('b'), offset: 100, directIo: true });
    t.equal(unaligned.snapshot().directIo, false);
    t.notOk(isDirect(unaligned));
  },
);

t.test('a block size below the alignment of the disk is EINVAL', { skip }, async (t) => {
  await using bench = new LoopBench();
  const image = bench.file('fs.img', 16 * MIB);
  const mounted = mountWith4kBlocks(image, bench.dir.file('mnt'));
  if (mounted === undefined) {
    t.pass('SKIP: no loop device of 4096-byte sectors to put a file system on');
    return;
  }
  try {
    const device = await bench.device();
    execFileSync('truncate', ['-s', '1M', mounted.file]);
    await device.loopConfigure({ file: mounted.file });
    t.equal(device.snapshot().dioAlignment, 4096);
    t.equal(await errnoOf(device.loopSetDio(true)), 'EINVAL');
    await device.loopSetBlockSize(4096);
    await device.loopSetDio(true);
    await device.loopSetBlockSize(512);
    t.match(device.snapshot(), { directIo: false, blockSize: 512 });
    await device.loopClrFd();
    await device.loopConfigure({ file: mounted.file, directIo: true });
    t.match(device.snapshot(), { directIo: true, blockSize: 4096 }, 'the block size that direct I/O needs');
    await device.loopClrFd();
  } finally {
    mounted.unmount();
  }
});

/** Mounts an ext4 of 4096-byte sectors, by the kernel's own loop device; undefined where that can't be. */
function mountWith4kBlocks(image: string, dir: string): { file: string; unmount: () => void } | undefined {
  const run = (command: string, ...args: string[]): string =>
    execFileSync(command, args, { stdio: ['ignore', 'pipe', 'ignore'] })
      .toString()
      .trim();
  let disk: string | undefined;
  try {
    disk = run('losetup', '-f', '--show', '-b', '4096', image);
    run('mkfs.ext4', '-q', '-b', '4096', disk);
    run('mkdir', dir);
    run('mount', disk, dir);
  } catch {
    if (disk !== undefined) run('losetup', '-d', disk);
    return undefined;
  }
  const used = disk;
  return {
    file: `${dir}/disk.img`,
    unmount: () => {
      run('umount', dir);
      run('losetup', '-d', used);
    },
  };
}
