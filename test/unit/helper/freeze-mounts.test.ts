import { mkdirSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import t from 'tap';
import { freezeMounts, thawMounts } from '../../../driver/helper/freeze-mounts.js';
import { KernelLoop, skipWithoutKernelLoop } from '../../helpers/kernel-loop.js';
import { errnoOf } from '../../helpers/loop-bench.js';
import { run, runOk } from '../../helpers/process.js';
import { makeSparseFile, TempDir } from '../../helpers/temp.js';
import { skipUnless, tool } from '../../helpers/tools.js';

const skip = skipWithoutKernelLoop() || skipUnless('mkfs.ext4', 'fsfreeze', 'mount', 'umount', 'dumpe2fs');

t.test('file systems of a disk are frozen, and thawed, wherever they are mounted', { skip }, async (t) => {
  using directory = new TempDir();
  const image = makeSparseFile(directory.file('ext4.img'), 32 << 20);
  await runOk(tool('mkfs.ext4'), ['-q', '-F', image]);
  await using loop = await KernelLoop.attach(image);
  const disk = basename(loop.path);
  t.equal(await errnoOf(freezeMounts({ disk, by: 'us' })), 'EINVAL', 'nothing is mounted');
  const [first, second] = ['a b', 'c'].map((name) => directory.file(name)) as [string, string];
  mkdirSync(first);
  mkdirSync(second);
  const needsRecovery = async () =>
    /needs_recovery/.test((await run(tool('dumpe2fs'), ['-h', image])).stdout);
  await runOk(tool('mount'), [loop.path, first]);
  try {
    await runOk(tool('mount'), ['--bind', first, second]);
    writeFileSync(`${first}/file`, 'text');
    await runOk(tool('sync'), ['-f', first]);
    t.equal(await needsRecovery(), true);
    await freezeMounts({ disk, by: 'us' });
    t.equal(await needsRecovery(), false, 'all is on the disk, and nothing is left to recover');
    t.equal((await run(tool('fsfreeze'), ['-f', second])).status, 1, 'it is frozen');
    t.equal(await errnoOf(freezeMounts({ disk, by: 'others' })), 'EBUSY', 'by somebody');
    await thawMounts({ disk, by: 'others' });
    t.equal((await run(tool('fsfreeze'), ['-f', second])).status, 1, 'which others do not thaw');
    await thawMounts({ disk, by: 'us' });
    writeFileSync(`${second}/file`, 'more');
    await runOk(tool('fsfreeze'), ['-f', first]);
    t.equal(await errnoOf(freezeMounts({ disk, by: 'us' })), 'EBUSY', 'somebody else froze it');
    await thawMounts({ disk, by: 'us' });
    t.equal((await run(tool('fsfreeze'), ['-f', first])).status, 1, 'and it stays so');
    await runOk(tool('fsfreeze'), ['-u', first]);
  } finally {
    await run(tool('fsfreeze'), ['-u', first]);
    await run(tool('umount'), ['--lazy', second]);
    await run(tool('umount'), ['--lazy', first]);
  }
});
