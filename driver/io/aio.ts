/**
 * Many reads and writes of the page cache in one system call: io_submit(2), which carries out buffered I/O in the
 * order given before it returns. Its results lie in a ring that the kernel shares, so its indices are read and written
 * with Atomics: an event is read after the tail that tells of it, and before the head that gives its place back. The
 * layouts are those of uapi linux/aio_abi.h.
 *
 * One context belongs to one thread.
 */
import { constants } from 'node:os';
import koffi from 'koffi';
import { systemCallNumbers } from '../processor.js';
import * as file from './file-calls.js';

const { EAGAIN, EINTR } = constants.errno;

const libc = koffi.load('libc.so.6');

type Call<A extends unknown[]> = (...args: A) => number;

const syscall = libc.func('syscall', 'long', ['long', 'uintptr_t', 'uintptr_t', 'uintptr_t']) as Call<
  [number: number, first: number, second: number, third: number]
>;
const syscall5 = libc.func('syscall', 'long', [
  'long',
  'uintptr_t',
  'uintptr_t',
  'uintptr_t',
  'uintptr_t',
  'uintptr_t',
]) as Call<[number: number, context: number, least: number, most: number, events: number, timeout: number]>;

const sys = systemCallNumbers();

/** Operations, `IOCB_CMD_*`. */
export const AioOp = { READ: 0, WRITE: 1 } as const;
export type AioOp = (typeof AioOp)[keyof typeof AioOp];

/** Words (32 bits) of `struct iocb`. */
const Iocb = { DATA: 0, RW_FLAGS: 3, OPCODE: 4, FD: 5, BUFFER: 6, BYTES: 8, OFFSET: 10, WORDS: 16 } as const;
/** Words of `struct aio_ring`, the header in front of the events. */
const Ring = { EVENTS: 1, HEAD: 2, TAIL: 3, MAGIC: 4, WORDS: 8 } as const;
const RING_MAGIC = 0xa10a10a1;
/** Words of `struct io_event`. */
const Event = { DATA: 0, RESULT: 4, WORDS: 8 } as const;
const TWO_TO_32 = 4294967296;

/** One operation of a run. Lengths and positions are bytes. */
export interface AioPart {
  readonly operation: AioOp;
  readonly fd: number;
  readonly position: number;
  readonly address: number;
  readonly length: number;
  /** A READ that would wait is EAGAIN. */
  readonly isNoWait: boolean;
}

export class Aio {
  /** Operations that fit into a run. */
  readonly entries: number;
  /** Operations added since the last run. */
  count = 0;

  readonly #context: number;
  readonly #ring: Uint32Array;
  readonly #events: number;
  readonly #blocks: Uint32Array;
  readonly #pointers: BigUint64Array;
  readonly #pointersAddress: number;
  readonly #fds: Int32Array;
  readonly #operations: Int32Array;
  readonly #flags: Int32Array;
  readonly #lengths: Float64Array;
  readonly #addresses: Float64Array;
  readonly #positions: Float64Array;
  readonly #results: Float64Array;

  /** Undefined where the system has none for us (fs.aio-max-nr is used up, CONFIG_AIO is off). */
  static open(entries: number): Aio | undefined {
    const context = new BigUint64Array(1);
    if (syscall(sys.ioSetup, entries, file.addressOf(context), 0) !== 0) return undefined;
    const at = context[0] ?? 0n;
    const header = new Uint32Array(koffi.view(at, Ring.WORDS * 4));
    // Without its mark the memory is not laid out as we know it.
    if (header[Ring.MAGIC] === RING_MAGIC) return new Aio(entries, Number(at), header[Ring.EVENTS] ?? 0);
    syscall(sys.ioDestroy, Number(at), 0, 0);
    return undefined;
  }

  private constructor(entries: number, context: number, events: number) {
    this.entries = entries;
    this.#context = context;
    this.#events = events;
    this.#ring = new Uint32Array(koffi.view(BigInt(context), (Ring.WORDS + events * Event.WORDS) * 4));
    this.#blocks = new Uint32Array(entries * Iocb.WORDS);
    const blocks = file.addressOf(this.#blocks);
    this.#pointers = BigUint64Array.from({ length: entries }, (_, i) => BigInt(blocks + i * Iocb.WORDS * 4));
    this.#pointersAddress = file.addressOf(this.#pointers);
    for (let i = 0; i < entries; i++) this.#blocks[i * Iocb.WORDS + Event.DATA] = i;
    this.#fds = new Int32Array(entries);
    this.#operations = new Int32Array(entries);
    this.#flags = new Int32Array(entries);
    this.#lengths = new Float64Array(entries);
    this.#addresses = new Float64Array(entries);
    this.#positions = new Float64Array(entries);
    this.#results = new Float64Array(entries);
  }

  /** Adds an operation on a file that is not open for direct I/O; at most `entries` before a run. */
  add(
    operation: AioOp,
    fd: number,
    position: number,
    address: number,
    length: number,
    isNoWait: boolean,
  ): void {
    const index = this.count++;
    this.#operations[index] = operation;
    this.#fds[index] = fd;
    this.#positions[index] = position;
    this.#addresses[index] = address;
    this.#lengths[index] = length;
    this.#flags[index] = isNoWait ? file.RWF_NOWAIT : 0;
  }

  /** Carries out what was added, and forgets it but for its results. True when each moved all its bytes. */
  run(): boolean {
    const { count } = this;
    this.count = 0;
    return count === 1 ? this.#runOne() : this.#runAll(count);
  }

  /** Bytes that an operation of the last run moved, or a negative errno: -EAGAIN also where it was not tried. */
  result(index: number): number {
    return this.#results[index] ?? -EAGAIN;
  }

  /** An operation of the last run. */
  part(index: number): AioPart {
    return {
      operation: this.#operations[index] === AioOp.WRITE ? AioOp.WRITE : AioOp.READ,
      fd: this.#fds[index] ?? -1,
      position: this.#positions[index] ?? 0,
      address: this.#addresses[index] ?? 0,
      length: this.#lengths[index] ?? 0,
      isNoWait: this.#flags[index] !== 0,
    };
  }

  /** The plain call costs less for one. */
  #runOne(): boolean {
    const fd = this.#fds[0] ?? -1;
    const length = this.#lengths[0] ?? 0;
    const address = this.#addresses[0] ?? 0;
    const position = this.#positions[0] ?? 0;
    let moved: number;
    if (this.#operations[0] === AioOp.WRITE) moved = file.pwrite(fd, address, length, position);
    else if (this.#flags[0] === 0) moved = file.pread(fd, address, length, position);
    else moved = file.preadNoWait(fd, address, length, position);
    this.#results[0] = moved < 0 ? -file.errno() : moved;
    return moved === length;
  }

  #runAll(count: number): boolean {
    for (let i = 0; i < count; i++) this.#fill(i);
    // An operation that is refused ends the call; what is behind it has not been tried.
    const submitted = Math.max(0, syscall(sys.ioSubmit, this.#context, count, this.#pointersAddress));
    this.#results.fill(-EAGAIN, submitted, count);
    const isWhole = this.#isAllThere(submitted) ? this.#takeResults() : this.#awaitResults(submitted);
    return isWhole && submitted === count;
  }

  #fill(index: number): void {
    const at = index * Iocb.WORDS;
    const blocks = this.#blocks;
    const address = this.#addresses[index] ?? 0;
    const position = this.#positions[index] ?? 0;
    blocks[at + Iocb.RW_FLAGS] = this.#flags[index] ?? 0;
    blocks[at + Iocb.OPCODE] = this.#operations[index] ?? 0;
    blocks[at + Iocb.FD] = this.#fds[index] ?? -1;
    blocks[at + Iocb.BUFFER] = address % TWO_TO_32;
    blocks[at + Iocb.BUFFER + 1] = address / TWO_TO_32;
    blocks[at + Iocb.BYTES] = this.#lengths[index] ?? 0;
    blocks[at + Iocb.OFFSET] = position % TWO_TO_32;
    blocks[at + Iocb.OFFSET + 1] = position / TWO_TO_32;
  }

  #isAllThere(submitted: number): boolean {
    const between = Atomics.load(this.#ring, Ring.TAIL) - Atomics.load(this.#ring, Ring.HEAD);
    return (between < 0 ? between + this.#events : between) === submitted;
  }

  /** True when each that was submitted moved all its bytes. */
  #takeResults(): boolean {
    const ring = this.#ring;
    const tail = Atomics.load(ring, Ring.TAIL);
    let isWhole = true;
    let head = Atomics.load(ring, Ring.HEAD);
    while (head !== tail) {
      if (!this.#take(ring, Ring.WORDS + head * Event.WORDS)) isWhole = false;
      head = head + 1 === this.#events ? 0 : head + 1;
    }
    Atomics.store(ring, Ring.HEAD, head);
    return isWhole;
  }

  /** For what is still under way when io_submit returns: memory and descriptor are in use until it is done. */
  #awaitResults(submitted: number): boolean {
    const events = new Uint32Array(submitted * Event.WORDS);
    let isWhole = true;
    for (let left = submitted; left > 0; ) {
      const got = syscall5(sys.ioGetevents, this.#context, left, left, file.addressOf(events), 0);
      for (let i = 0; i < got; i++) if (!this.#take(events, i * Event.WORDS)) isWhole = false;
      if (got > 0) left -= got;
      else if (got < 0 && file.errno() !== EINTR) throw new Error(`io_getevents failed (${file.errno()})`);
    }
    return isWhole;
  }

  #take(events: Uint32Array, at: number): boolean {
    const index = events[at + Event.DATA] ?? 0;
    const result = (events[at + Event.RESULT] ?? 0) | 0; // no operation is longer than 2^31
    this.#results[index] = result;
    return result === this.#lengths[index];
  }

  /** Releases the context; it is not used after this. */
  close(): void {
    syscall(sys.ioDestroy, this.#context, 0, 0);
  }
}
