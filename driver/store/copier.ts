/** The thread that copies what a mirror's store holds into its file, chunk by chunk, while both are written to. */
import { workerData } from 'node:worker_threads';
import type { Errno } from '../../server/backend.js';
import { alignedMemory } from '../io/aligned.js';
import type { MirrorDescription } from './description.js';
import { MIRROR_CHUNK, MirrorShared } from './mirror-store.js';
import { openInner } from './open-store.js';
import { NO_TOOLS } from './thread-tools.js';

export interface CopierData {
  readonly mirror: MirrorDescription;
  /** Bytes to be looked at. */
  readonly size: number;
  /** 'all', into a file of zeroes; 'held': what the delta of an overlay holds, into its base. */
  readonly what: 'all' | 'held';
  /** Float64: bytes that were looked at, bytes a second at most (0: no limit). */
  readonly progress: SharedArrayBuffer;
}

export const Progress = { DONE: 0, RATE: 1, NUMBERS: 2 } as const;

const { mirror, size, what, progress } = workerData as CopierData;
const numbers = new Float64Array(progress);
const context = { tools: NO_TOOLS, zeroed: { value: 0, increment: () => {} }, lane: 0 };
const from = openInner(mirror.from, context);
const to = openInner(mirror.to, context);
const shared = new MirrorShared(mirror.shared);
const memory = alignedMemory(MIRROR_CHUNK);
/** Bytes that are read and written at a time: requests that write the same file wait for as long (its lock in the kernel). */
const PIECE = 32 << 10;
/** Where the device is used, so many times as long as a chunk took is left to requests. */
const LEFT = 3;
/** Milliseconds of that at most: a chunk may have waited for a disk that hung. */
const MOST_LEFT = 100;
const PAGE = 4096;
const zeroes = Buffer.alloc(PAGE);

/** Returns the bytes that were written, or a negative errno. Its chunk is locked. */
function copyRange(position: number, length: number): number {
  let written = 0;
  for (let at = position; at < position + length; ) {
    const rest = position + length - at;
    const held = what === 'all' ? rest : from.held(at, rest);
    if (held < 0) {
      at -= held;
      continue;
    }
    const run = from.extent(at, held);
    const part = run > 0 ? Math.min(run, PIECE) : -run;
    const errno =
      run > 0 ? copyData(at, part) : what === 'all' ? 0 : to.zero(at, part, { punch: true, fast: false });
    if (errno !== 0) return -errno;
    if (run > 0) written += part;
    at += part;
  }
  return written;
}

function copyData(position: number, length: number): Errno {
  const errno = from.read(memory.address, position, length);
  if (errno !== 0) {
    shared.failReading(errno);
    return errno;
  }
  if (what === 'held') return to.write(memory.address, position, length);
  // The file has zeroes there: it stays sparse.
  for (let at = 0; at < length; ) {
    let end = at;
    while (end < length && !isZero(end, length)) end = Math.min(end + PAGE, length);
    if (end > at) {
      const failed = to.write(memory.address + at, position + at, end - at);
      if (failed !== 0) return failed;
    }
    at = Math.max(end, Math.min(end + PAGE, length));
  }
  return 0;
}

const isZero = (at: number, length: number): boolean =>
  Buffer.from(memory.bytes.buffer, memory.bytes.byteOffset + at, Math.min(PAGE, length - at)).equals(
    zeroes.subarray(0, Math.min(PAGE, length - at)),
  );

let due = performance.now();
for (
  let position = 0;
  position < size && !shared.isCancelled && shared.errno === 0;
  position += MIRROR_CHUNK
) {
  const chunk = position / MIRROR_CHUNK;
  const began = performance.now();
  shared.lock(chunk);
  const written = copyRange(position, Math.min(MIRROR_CHUNK, size - position));
  shared.unlock(chunk);
  if (written < 0) shared.fail(-written);
  numbers[Progress.DONE] = Math.min(position + MIRROR_CHUNK, size);
  if (written > 0 && shared.takeUse()) shared.pause(Math.min((performance.now() - began) * LEFT, MOST_LEFT));
  const rate = numbers[Progress.RATE] ?? 0;
  if (rate <= 0 || written <= 0) continue;
  const now = performance.now();
  due = Math.max(due, now - 100) + (written / rate) * 1000;
  if (due > now) shared.pause(due - now);
}
