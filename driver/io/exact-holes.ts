import { statfs } from 'node:fs/promises';

/**
 * File systems whose SEEK_DATA and SEEK_HOLE tell of every byte that was written, also while it waits in the page cache, by
 * the `f_type` of statfs(2) (linux/magic.h). Each is shown by `interop/holes`, and none is here that is not.
 *
 * Not here, so that all of a file on them is data:
 * - FUSE (virtiofs too): with a write-back cache the server is asked, and does not have what is dirty; and it may be wrong;
 * - NFS, CIFS, 9p, cluster file systems: another host, or the server, says what is a hole;
 * - overlayfs: what counts is the file system below, of which statfs does not tell;
 * - ZFS, f2fs, bcachefs and others: not shown here (ZFS is known to have missed dirty data).
 * vfat, exFAT, ext2's own driver and their like know no holes: nothing is lost.
 */
const EXACT: ReadonlySet<bigint> = new Set([
  0xef53n, // ext4, and what its driver mounts as ext2 and ext3
  0x58465342n, // xfs
  0x9123683en, // btrfs
  0x01021994n, // tmpfs
]);

/**
 * Whether a hole that the file system tells of, in this open regular file, is one. Asks the file system, so it may wait
 * as long as that does; false where it does not answer.
 */
export async function tellsHoles(fd: number): Promise<boolean> {
  try {
    const { type } = await statfs(`/proc/self/fd/${fd}`, { bigint: true });
    return EXACT.has(type);
  } catch {
    return false;
  }
}
