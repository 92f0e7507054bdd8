/** `nbdloop replay --each-flush` on a real file system: a program that renames what it has not fsynced is caught, and one that has is not. */
import { chmodSync, copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { open, rename } from 'node:fs/promises';
import t, { type Test } from 'tap';
import { TestDisk } from '../../driver/testing.js';
import { FuseDisk, skipWithoutFuseDisk } from '../helpers/fuse-disk.js';
import { type Ended, run, runOk } from '../helpers/process.js';
import { makeSparseFile, TempDir } from '../helpers/temp.js';
import { skipUnless, tool } from '../helpers/tools.js';

const MIB = 1 << 20;
const SIZE = 24 * MIB;

t.setTimeout(200_000);

/** Looks into the image: the file that the program replaces is all of one version, wherever it is there. */
const CHECK = `#!/bin/sh
node=$(losetup -f --show "$NBDLOOP_IMAGE") || exit 9
trap 'losetup -d "$node"' EXIT
e2fsck -fp "$node" >/dev/null; [ $? -lt 4 ] || exit 8
mount "$node" "$1" || exit 7
status=0
if [ -e "$1/config" ]; then
  [ "$(stat -c %s "$1/config")" = 20000 ] && [ "$(tr -d '[:digit:]' <"$1/config" | wc -c)" = 0 ] &&
    [ "$(fold -w1 "$1/config" | sort -u | wc -l)" = 1 ] || status=3
fi
umount "$1"
exit $status
`;

/** Replaces the file with a new version; another program's fsync is what makes the rename durable. */
async function replaceOnce(directory: string, version: number, how: 'right' | 'wrong'): Promise<void> {
  const file = await open(`${directory}/config.new`, 'w');
  await file.write(Buffer.alloc(20_000, String(version)));
  if (how === 'right') await file.sync();
  await file.close();
  await rename(`${directory}/config.new`, `${directory}/config`);
  const other = await open(`${directory}/other`, 'w');
  await other.write('x');
  await other.sync();
  await other.close();
}

async function replayed(how: 'right' | 'wrong'): Promise<Ended> {
  using dir = new TempDir();
  const [directory, looked] = [dir.file('mnt'), dir.file('looked')];
  for (const path of [directory, looked]) mkdirSync(path);
  const file = makeSparseFile(dir.file('disk'), SIZE);
  await runOk(tool('mkfs.ext4'), ['-q', '-F', file]);
  const onto = dir.file('onto');
  copyFileSync(file, onto);
  await using disk = await TestDisk.start({ file, log: true, volatileCache: false });
  {
    await using fuse = await FuseDisk.of(disk.uri);
    // By default ext4 writes data out at such a rename, for programs that are wrong.
    await runOk(tool('mount'), ['-o', 'noauto_da_alloc', fuse.node, directory]);
    try {
      for (let version = 1; version <= 3; version++) await replaceOnce(directory, version, how);
    } finally {
      await runOk(tool('umount'), [directory]);
    }
  }
  const check = dir.file('check');
  writeFileSync(check, CHECK);
  chmodSync(check, 0o755);
  const words = ['replay', disk.log ?? '', '--onto', onto, '--each-flush', `${check} ${looked}`];
  return await run(process.execPath, ['dist/bin/nbdloop.js', ...words], { timeoutMs: 150_000 });
}

const skip = skipWithoutFuseDisk() || skipUnless('mkfs.ext4', 'e2fsck', 'losetup');

t.test(
  'ext4: a rename of what was not fsynced is caught at the flush that makes it last',
  { skip },
  async (t: Test) => {
    const wrong = await replayed('wrong');
    t.equal(wrong.status, 1, wrong.stdout + wrong.stderr);
    t.match(wrong.stdout + wrong.stderr, /entry \d+ is the first at which the check fails \(3\)/);
    t.comment(wrong.stdout + wrong.stderr);
  },
);

t.test('ext4: a program that fsyncs first passes every check', { skip }, async (t: Test) => {
  const right = await replayed('right');
  t.equal(right.status, 0, right.stdout + right.stderr);
  t.comment(right.stdout + right.stderr);
});
