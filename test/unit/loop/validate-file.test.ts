import { execFileSync } from 'node:child_process';
import { linkSync, symlinkSync } from 'node:fs';
import t from 'tap';
import { errnoOf, LoopBench } from '../../helpers/loop-bench.js';

const NBD_MAJOR = 43;

/** Makes a node of /dev/nbd0, which need not have a driver. */
function makeNode(path: string): string | false {
  try {
    execFileSync('mknod', [path, 'b', String(NBD_MAJOR), '0'], { stdio: 'pipe' });
    return false;
  } catch {
    return 'device nodes can be made by root only';
  }
}

async function canMakeNodes(): Promise<string | false> {
  await using bench = new LoopBench();
  return makeNode(bench.dir.file('probe'));
}

const skip = await canMakeNodes();

t.test('a device is not its own backing file, whatever the name', { skip }, async (t) => {
  await using bench = new LoopBench();
  const device = await bench.device(0);
  const node = bench.dir.file('nbd0');
  makeNode(node);
  symlinkSync(node, bench.dir.file('soft'));
  linkSync(node, bench.dir.file('hard'));
  makeNode(bench.dir.file('twin'));
  for (const name of ['nbd0', 'soft', 'hard', 'twin']) {
    t.equal(await errnoOf(device.loopConfigure({ file: bench.dir.file(name) })), 'EBADF', name);
  }
  t.equal(device.state, 'unbound');
  await device.loopConfigure({ file: bench.file('disk.img'), readOnly: true });
  t.equal(await errnoOf(device.loopConfigure({ file: node })), 'EBUSY', 'bound already comes first');
  t.equal(await errnoOf(device.loopChangeFd(node)), 'EBADF');
});

t.test('another device of ours: EINVAL when it is not bound, EBADF when it is', { skip }, async (t) => {
  await using bench = new LoopBench();
  const [behind, device] = [await bench.device(0), await bench.device(1)];
  const node = bench.dir.file('nbd0');
  makeNode(node);
  t.equal(await errnoOf(device.loopConfigure({ file: node })), 'EINVAL');
  await behind.loopConfigure({ file: bench.file('disk.img') });
  t.equal(await errnoOf(device.loopConfigure({ file: node })), 'EBADF', 'it would wait for itself');
  await behind.loopClrFd();
  t.equal(await errnoOf(device.loopConfigure({ file: node })), 'EINVAL');
  const { edges } = bench.control.order.snapshot();
  t.ok(edges.some(({ from, to, count }) => from === 'validateMutex' && to === 'loMutex' && count > 0));
});

t.test('a device of somebody else is opened like any block device', { skip }, async (t) => {
  await using bench = new LoopBench({ isAttached: () => false });
  const device = await bench.device(0);
  const node = bench.dir.file('nbd0');
  makeNode(node);
  // There is no such device behind the node, or it is not connected: what counts is that it was tried.
  const errno = await errnoOf(device.loopConfigure({ file: node }));
  t.ok(errno === 'EBADF' || errno === 'none', errno);
  t.equal(await errnoOf(bench.control.device(0).loopGetStatus()), errno === 'none' ? 'none' : 'ENXIO');
});
