/** What the shared words say of a device to a thread: whether it serves, what, and that its file is lost. */
import { constants } from 'node:os';
import type { Access, Errno } from '../../server/backend.js';
import { DeviceState, DIRTY_OFFSET, LoFlag, Num, Word } from './slots.js';

const { EINVAL, EIO, ENOSPC, ENOTCONN, EPERM, ESTALE } = constants.errno;
/** Not among Node's. Linux: asm-generic/errno.h. */
const EBADFD = 77;
export const ESHUTDOWN = 108;

/** What a descriptor answers that is no good any more; EIO may be the disk's. */
const isLoss = (errno: Errno): boolean =>
  errno === EIO || errno === EBADFD || errno === ESTALE || errno === ENOTCONN;

/** All of it changes while the queue is frozen, but `Word.LOST`. */
export class DeviceWords {
  readonly nums: Float64Array;
  readonly #words: Int32Array;

  constructor(shared: SharedArrayBuffer) {
    this.#words = new Int32Array(shared);
    this.nums = new Float64Array(shared, 0, DIRTY_OFFSET / 8);
  }

  /** `LoFlag` bits. */
  get flags(): number {
    return this.#words[Word.FLAGS] ?? 0;
  }

  /** Where the device starts in its store, bytes. */
  get offset(): number {
    return this.nums[Num.OFFSET] ?? 0;
  }

  /** Bytes. */
  get size(): number {
    return this.nums[Num.SIZE] ?? 0;
  }

  isBound(): boolean {
    return this.#words[Word.STATE] === DeviceState.BOUND;
  }

  isLost(): boolean {
    const errno = Atomics.load(this.#words, Word.LOST);
    return errno !== 0 && (errno !== EIO || (this.flags & LoFlag.FENCED) !== 0);
  }

  /** Why a range may not be accessed: ESHUTDOWN, EIO, EPERM, ENOSPC, EINVAL; 0: it may. */
  refusal(access: Access, offset: number, length: number): Errno {
    if (this.isLost()) return ESHUTDOWN;
    if (!this.isBound()) return EIO;
    const isWrite = access === 'write';
    if (isWrite && (this.flags & LoFlag.READ_ONLY) !== 0) return EPERM;
    if (offset + length > this.size) return isWrite ? ENOSPC : EINVAL;
    return 0;
  }

  /** What is told of a failure; one by which the file proves to be lost is ESHUTDOWN from then on, for every thread. */
  failed(errno: Errno): Errno {
    if (isLoss(errno)) {
      const before = Atomics.load(this.#words, Word.LOST);
      if (before === 0 || (before === EIO && errno !== EIO)) {
        Atomics.store(this.#words, Word.LOST, errno);
        Atomics.notify(this.#words, Word.LOST);
      }
    }
    return this.isLost() ? ESHUTDOWN : errno;
  }
}
