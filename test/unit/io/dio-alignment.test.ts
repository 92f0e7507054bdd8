import { closeSync, constants, openSync, readSync } from 'node:fs';
import t from 'tap';
import { alignedMemory } from '../../../driver/io/aligned.js';
import { BackingFile } from '../../../driver/io/backing-file.js';
import { makeRandomFile, TempDir } from '../../helpers/temp.js';

t.test('what is told to be aligned is read with O_DIRECT', async (t) => {
  using dir = new TempDir();
  const path = makeRandomFile(dir.file('disk.img'), 1 << 16);
  const file = await BackingFile.open(path, { readOnly: true });
  const { dioAlignment } = file;
  await file.close();
  t.ok(dioAlignment >= 512 && (dioAlignment & (dioAlignment - 1)) === 0, `${dioAlignment}`);
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_DIRECT);
  } catch {
    t.pass('this file system takes no direct I/O, whatever the alignment');
    return;
  }
  try {
    const { bytes } = alignedMemory(dioAlignment);
    t.equal(readSync(fd, bytes, 0, dioAlignment, dioAlignment), dioAlignment);
  } finally {
    closeSync(fd);
  }
});
