/** How the C library hands out memory, the engine's buffers among it. */

import koffi from 'koffi';

const libc = koffi.load('libc.so.6');
const mallopt = libc.func('int mallopt(int parameter, int value)') as (
  parameter: number,
  value: number,
) => number;
const mallocTrim = libc.func('int malloc_trim(size_t pad)') as (pad: number) => number;

/** From mallopt(3). */
const M_MMAP_THRESHOLD = -3;
/** Bytes; less than SHARED_BYTES of `driver/queue/slots.ts`, the shared memory of a device. */
const MAPPED_FROM = 1 << 20;

/**
 * mallopt(3), for the whole process: an allocation of 1 MiB or more is always a mapping of its own. Left to itself,
 * glibc moves that threshold up, to 32 MiB at most, as such memory is freed. The dirty map of a new device, 2 MiB that
 * take none while nothing was written, would then be cleared in the heap, and take all of it at once.
 */
export function keepLargeMemoryMapped(): void {
  mallopt(M_MMAP_THRESHOLD, MAPPED_FROM);
}

/** malloc_trim(3): gives the memory back that is free in every arena. */
export function giveFreeMemoryBack(): void {
  mallocTrim(0);
}
