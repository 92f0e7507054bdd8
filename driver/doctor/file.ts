/** What the file system of a file can do. Nothing of the file is changed; what is tried is tried on one without a name. */

import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import koffi from 'koffi';
import { dioAlignmentOf } from '../io/dio-alignment.js';
import { tellsHoles } from '../io/exact-holes.js';
import { FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, fallocate } from '../io/file-calls.js';
import { setDirect } from '../io/syscalls.js';
import { bad, type Finding, good, note } from './finding.js';

const ioctl = koffi.load('libc.so.6').func('int ioctl(int fd, unsigned long request, int argument)') as (
  fd: number,
  request: number,
  argument: number,
) => number;
/** FICLONE of linux/fs.h. */
const FICLONE = 0x40049409;
/** O_TMPFILE of asm-generic/fcntl.h, which implies O_DIRECTORY. */
const O_TMPFILE = 0o20000000 | constants.O_DIRECTORY;
const TRIED_BYTES = 64 * 1024;

export async function checkFile(path: string): Promise<Finding[]> {
  const file = await open(path, 'r').catch((error: NodeJS.ErrnoException) => error);
  if (file instanceof Error)
    return [bad('file', `${path} can't be opened (${file.code})`, 'look at its path and rights')];
  try {
    const stat = await file.stat({ bigint: true });
    if (!stat.isFile() && !stat.isBlockDevice()) {
      return [bad('file', `${path} is neither a regular file nor a block device`, 'choose another')];
    }
    return [good('file', `${path}, ${stat.size} bytes`), ...(await fileSystemOf(path, file, stat.dev))];
  } finally {
    await file.close();
  }
}

async function fileSystemOf(path: string, file: FileHandle, device: bigint): Promise<Finding[]> {
  const alignment = await dioAlignmentOf(file.fd, device);
  const direct = await setDirect(file.fd, true);
  return [
    direct < 0
      ? note('direct I/O', 'the file system refuses it', 'leave --direct-io out: it would be off')
      : good('direct I/O', `in units of ${alignment} bytes`),
    (await tellsHoles(file.fd))
      ? good('holes', 'are told exactly')
      : note(
          'holes',
          'are not told exactly by this file system',
          'all of the file is read as data; nothing to do',
        ),
    ...(await withScratch(dirname(path))),
  ];
}

/** Punching and cloning, tried on files in the same directory that never get a name. */
async function withScratch(directory: string): Promise<Finding[]> {
  const scratch = () => open(directory, O_TMPFILE | constants.O_RDWR, 0o600).catch(() => undefined);
  const [from, to] = [await scratch(), await scratch()];
  try {
    if (from === undefined || to === undefined) {
      return [
        note(
          'punch, reflink',
          `not tried: ${directory} takes no file without a name`,
          'try as one who may write there',
        ),
      ];
    }
    await from.write(Buffer.alloc(TRIED_BYTES, 1));
    const cloned = ioctl(to.fd, FICLONE, from.fd) === 0;
    const punched = fallocate(from.fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, 0, TRIED_BYTES / 2) === 0;
    return [
      punched
        ? good('punch', 'TRIM gives space back')
        : note(
            'punch',
            'the file system makes no holes',
            'TRIM gives no space back; use ext4, xfs, btrfs or tmpfs',
          ),
      cloned
        ? good('reflink', 'copies share their blocks')
        : note(
            'reflink',
            'the file system clones no files',
            'copies take their whole size; xfs and btrfs clone',
          ),
    ];
  } finally {
    await from?.close();
    await to?.close();
  }
}
