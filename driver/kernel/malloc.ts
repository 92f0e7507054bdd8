import koffi from 'koffi';

const mallopt = koffi.load('libc.so.6').func('int mallopt(int parameter, int value)') as (
  parameter: number,
  value: number,
) => number;

/** From mallopt(3). */
const M_MMAP_THRESHOLD = -3;
/** Bytes; below the shared memory of a device. */
const MAPPED_FROM = 1 << 20;

/**
 * Allocations of at least 1 MiB are mappings of their own for as long as the process lives. Left to itself, glibc
 * moves that threshold up to 32 MiB as such memory is freed; then the dirty map of a new device (`slots.ts`), which
 * takes no memory while nothing was written, is cleared in the heap instead, and takes 2 MiB at once.
 */
export function keepLargeMemoryMapped(): void {
  mallopt(M_MMAP_THRESHOLD, MAPPED_FROM);
}
