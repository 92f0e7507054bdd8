/**
 * A small io_uring, driven from JavaScript: what would make a thread wait for a disk is handed to the kernel and
 * comes back through a descriptor that poll(2) can wait for. The layout is that of uapi linux/io_uring.h; the
 * rings are shared with the kernel, so their indices are read and written with Atomics.
 *
 * One ring belongs to one thread.
 */
import koffi from 'koffi';
import { addressOf } from './file-calls.js';

const libc = koffi.load('libc.so.6');

type Call<A extends unknown[]> = (...args: A) => number;

const syscall = libc.func('syscall', 'long', [
  'long',
  'uintptr_t',
  'uintptr_t',
  'uintptr_t',
  'uintptr_t',
  'uintptr_t',
  'uintptr_t',
]) as Call<[number, number, number, number, number, number, number]>;
const mmap = libc.func(
  'intptr_t mmap(uintptr_t at, size_t length, int protection, int flags, int fd, int64_t offset)',
) as Call<[number, number, number, number, number, number]>;
const munmap = libc.func('int munmap(uintptr_t at, size_t length)') as Call<[number, number]>;
const close = libc.func('int close(int fd)') as Call<[number]>;

const SYS_IO_URING_SETUP = 425;
const SYS_IO_URING_ENTER = 426;
const OFFSET_SQES = 0x10000000;
const PROT_READ_WRITE = 3;
const MAP_SHARED_POPULATE = 0x8001;
const FEAT_SINGLE_MMAP = 1;
/**
 * `IORING_SETUP_COOP_TASKRUN`, Linux 5.19: what is left to do for an operation is done at the thread's next system call.
 * The thread is not interrupted for it; it makes one all the time, or sleeps in one.
 */
const SETUP_COOP_TASKRUN = 1 << 8;

/** Operations, `IORING_OP_*`. */
export const UringOp = { NOP: 0, FSYNC: 3, FALLOCATE: 17, READ: 22, WRITE: 23 } as const;
/** `IORING_FSYNC_DATASYNC`. */
export const FSYNC_DATASYNC = 1;

const SQE_WORDS = 16;
const CQE_WORDS = 4;
const TWO_TO_32 = 4294967296;

/** Words of `struct io_uring_params`. */
const Param = {
  SQ_ENTRIES: 0,
  CQ_ENTRIES: 1,
  FLAGS: 2,
  FEATURES: 5,
  SQ_OFF: 10,
  CQ_OFF: 20,
  WORDS: 30,
} as const;
/** Words of `struct io_sqring_offsets` and `struct io_cqring_offsets`. */
const SqOff = { HEAD: 0, TAIL: 1, MASK: 2, ARRAY: 6 } as const;
const CqOff = { HEAD: 0, TAIL: 1, MASK: 2, CQES: 5 } as const;

export class Uring {
  /** Readable when there are completions. */
  readonly fd: number;
  /** Operations that may be under way at a time. */
  readonly entries: number;

  /** Address and bytes of the two mappings. */
  readonly #mappings: readonly (readonly [number, number])[];
  readonly #ring: Int32Array;
  readonly #sqes: Uint32Array;
  readonly #sqTail: number;
  readonly #sqMask: number;
  readonly #sqArray: number;
  readonly #cqHead: number;
  readonly #cqTail: number;
  readonly #cqMask: number;
  readonly #cqes: number;
  #queued = 0;

  /** A ring for `entries` operations (a power of two), or undefined where the system refuses one. */
  static open(entries: number): Uring | undefined {
    return Uring.#open(entries, SETUP_COOP_TASKRUN) ?? Uring.#open(entries, 0);
  }

  static #open(entries: number, flags: number): Uring | undefined {
    const params = new Uint32Array(Param.WORDS);
    params[Param.FLAGS] = flags;
    const fd = syscall(SYS_IO_URING_SETUP, entries, addressOf(params), 0, 0, 0, 0);
    if (fd < 0) return undefined;
    if (((params[Param.FEATURES] ?? 0) & FEAT_SINGLE_MMAP) !== 0) {
      const bytes = ringBytes(params);
      const ring = map(fd, 0, bytes);
      const sqes = ring < 0 ? -1 : map(fd, OFFSET_SQES, entries * SQE_WORDS * 4);
      if (sqes > 0) return new Uring(fd, params, ring, sqes);
      // What is mapped keeps the ring alive, beyond its descriptor.
      if (ring > 0) munmap(ring, bytes);
    }
    close(fd);
    return undefined;
  }

  /** `ring` and `sqes` are addresses. */
  private constructor(fd: number, params: Uint32Array, ring: number, sqes: number) {
    const word = (at: number): number => params[at] ?? 0;
    this.fd = fd;
    this.entries = word(Param.SQ_ENTRIES);
    const sqeBytes = this.entries * SQE_WORDS * 4;
    this.#mappings = [
      [ring, ringBytes(params)],
      [sqes, sqeBytes],
    ];
    this.#ring = new Int32Array(koffi.view(BigInt(ring), ringBytes(params)));
    this.#sqes = new Uint32Array(koffi.view(BigInt(sqes), sqeBytes));
    this.#sqTail = word(Param.SQ_OFF + SqOff.TAIL) / 4;
    this.#sqMask = this.#ring[word(Param.SQ_OFF + SqOff.MASK) / 4] ?? 0;
    this.#sqArray = word(Param.SQ_OFF + SqOff.ARRAY) / 4;
    this.#cqHead = word(Param.CQ_OFF + CqOff.HEAD) / 4;
    this.#cqTail = word(Param.CQ_OFF + CqOff.TAIL) / 4;
    this.#cqMask = this.#ring[word(Param.CQ_OFF + CqOff.MASK) / 4] ?? 0;
    this.#cqes = word(Param.CQ_OFF + CqOff.CQES) / 4;
  }

  /** Nothing is under way any more, and nothing of it is used again. A thread that ends closes no descriptor by itself. */
  close(): void {
    for (const [address, bytes] of this.#mappings) munmap(address, bytes);
    close(this.fd);
  }

  /**
   * Queues an operation; the caller keeps at most `entries` under way. What the arguments mean is the operation's
   * own affair (uapi linux/io_uring.h); `token`, 0 to 2^31-1, comes back with the result.
   */
  prepare(
    opcode: number,
    fd: number,
    offset: number,
    address: number,
    length: number,
    flags: number,
    token: number,
  ): void {
    const tail = Atomics.load(this.#ring, this.#sqTail);
    const index = tail & this.#sqMask;
    const at = index * SQE_WORDS;
    const sqes = this.#sqes;
    sqes.fill(0, at, at + SQE_WORDS);
    sqes[at] = opcode;
    sqes[at + 1] = fd;
    sqes[at + 2] = offset % TWO_TO_32;
    sqes[at + 3] = offset / TWO_TO_32;
    sqes[at + 4] = address % TWO_TO_32;
    sqes[at + 5] = address / TWO_TO_32;
    sqes[at + 6] = length;
    sqes[at + 7] = flags;
    sqes[at + 8] = token;
    this.#ring[this.#sqArray + index] = index;
    Atomics.store(this.#ring, this.#sqTail, (tail + 1) | 0);
    this.#queued++;
  }

  /** Hands what was queued to the kernel. False when it did not take all (it is short of memory): try again. */
  submit(): boolean {
    if (this.#queued > 0) {
      const taken = syscall(SYS_IO_URING_ENTER, this.fd, this.#queued, 0, 0, 0, 0);
      if (taken > 0) this.#queued -= taken;
    }
    return this.#queued === 0;
  }

  /** There are completions to be told of. */
  get isReady(): boolean {
    return this.#ring[this.#cqHead] !== Atomics.load(this.#ring, this.#cqTail);
  }

  /** Tells of each completion: its token, and the result (a count, or a negative errno). */
  reap(onDone: (token: number, result: number) => void): void {
    const ring = this.#ring;
    let head = ring[this.#cqHead] ?? 0;
    while (head !== Atomics.load(ring, this.#cqTail)) {
      const at = this.#cqes + (head & this.#cqMask) * CQE_WORDS;
      const token = ring[at] ?? 0;
      const result = ring[at + 2] ?? 0;
      head = (head + 1) | 0;
      Atomics.store(ring, this.#cqHead, head);
      onDone(token, result);
    }
  }
}

function ringBytes(params: Uint32Array): number {
  const word = (at: number): number => params[at] ?? 0;
  const sq = word(Param.SQ_OFF + SqOff.ARRAY) + word(Param.SQ_ENTRIES) * 4;
  const cq = word(Param.CQ_OFF + CqOff.CQES) + word(Param.CQ_ENTRIES) * CQE_WORDS * 4;
  return Math.max(sq, cq);
}

/** An address, or -1. */
const map = (fd: number, offset: number, length: number): number =>
  mmap(0, length, PROT_READ_WRITE, MAP_SHARED_POPULATE, fd, offset);
