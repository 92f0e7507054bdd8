import { readFileSync } from 'node:fs';
import { blockDeviceOf } from './device-number.js';
import { statxDioAlignment } from './syscalls.js';

/** The sector, the unit of the block layer, in bytes. */
const SECTOR = 512;

/**
 * Alignment in bytes that direct I/O on a file needs: what statx tells; else the logical block size of the disk
 * under its file system; else a sector, where the file system has no disk. loop.c: `loop_query_min_dio_size`.
 *
 * Never below a sector, the least block size of a device.
 */
export async function dioAlignmentOf(fd: number, fileSystem: bigint): Promise<number> {
  return Math.max(SECTOR, (await statxDioAlignment(fd)) ?? diskBlockSize(fileSystem) ?? SECTOR);
}

/** Logical block size of the disk (or the disk of the partition) with this device number, from sysfs. */
function diskBlockSize(device: bigint): number | undefined {
  const { major, minor } = blockDeviceOf(device);
  for (const disk of ['', '/..']) {
    try {
      const path = `/sys/dev/block/${major}:${minor}${disk}/queue/logical_block_size`;
      const size = Number(readFileSync(path, 'latin1'));
      if (Number.isInteger(size) && size > 0) return size;
    } catch {
      // No such attribute: not a whole disk, or no disk at all.
    }
  }
  return undefined;
}
