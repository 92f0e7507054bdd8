import { constants } from 'node:os';
import type { Completions, Errno } from '../../server/backend.js';
import * as file from '../io/file-calls.js';
import { flushFile, readDirect, readFully, writeDirect, writeFully } from '../io/transfer.js';
import { FSYNC_DATASYNC, Uring, UringOp } from '../io/uring.js';

const { EAGAIN, EINTR, EINVAL, ENODEV, EOPNOTSUPP } = constants.errno;

/** Operations under way at most, a thread. */
const ENTRIES = 256;

/** A range of a file, bytes. */
export interface Range {
  readonly fd: number;
  readonly position: number;
  readonly length: number;
}

/** Finishes, in place, what the ring did not: given a count of bytes done. Returns an errno. */
type Finish = (done: number) => Errno;

/**
 * What one thread has under way in its io_uring. A completion that is not a plain success is finished at once by
 * the ordinary system calls, so that every special case (a short transfer, the end of the file, an operation the
 * file system lacks, EINTR) has one home.
 */
export class Offload implements Completions {
  readonly #ring: Uring;
  /** By token: what a full success returns, and how to finish anything less. */
  readonly #expected: Float64Array;
  readonly #finish: (Finish | undefined)[] = [];
  /** By token: what is to be done when it has ended, however. */
  readonly #after: ((() => void) | undefined)[] = [];

  /** Undefined where the system has no io_uring for us (old kernel, seccomp): all is then done in place. */
  static open(): Offload | undefined {
    const ring = Uring.open(ENTRIES);
    return ring && new Offload(ring);
  }

  private constructor(ring: Uring) {
    this.#ring = ring;
    this.#expected = new Float64Array(ring.entries);
  }

  get fd(): number {
    return this.#ring.fd;
  }

  get isReady(): boolean {
    return this.#ring.isReady;
  }

  get limit(): number {
    return this.#ring.entries;
  }

  submit(): boolean {
    return this.#ring.submit();
  }

  reap(onDone: (token: number, errno: Errno) => void): void {
    this.#ring.reap((token, result) => {
      const finish = this.#finish[token];
      const after = this.#after[token];
      this.#finish[token] = this.#after[token] = undefined;
      if (finish === undefined) return;
      const errno = this.#outcome(token, result, finish);
      after?.();
      onDone(token, errno);
    });
  }

  #outcome(token: number, result: number, finish: Finish): Errno {
    if (result === this.#expected[token]) return 0;
    if (result >= 0) return finish(result);
    return isWorthRetrying(-result) ? finish(0) : -result;
  }

  /** `alignment`: what direct I/O needs; 1 when the descriptor is not direct. */
  read(token: number, { fd, position, length }: Range, address: number, alignment: number): void {
    this.#start(token, length, (done) => {
      if (alignment === 1) return readFully(fd, address + done, length - done, position + done);
      if (done % alignment === 0)
        return readDirect(fd, address + done, length - done, position + done, alignment);
      file.memset(address + done, 0, length - done); // the file ended inside a block
      return 0;
    });
    this.#ring.prepare(UringOp.READ, fd, position, address, length, 0, token);
  }

  write(token: number, { fd, position, length }: Range, address: number, alignment: number): void {
    this.#start(token, length, (done) =>
      alignment === 1
        ? writeFully(fd, address + done, length - done, position + done)
        : writeDirect(fd, address + done, length - done, position + done, alignment),
    );
    this.#ring.prepare(UringOp.WRITE, fd, position, address, length, 0, token);
  }

  flush(token: number, fd: number): void {
    this.#start(token, 0, () => flushFile(fd));
    this.#ring.prepare(UringOp.FSYNC, fd, 0, 0, 0, FSYNC_DATASYNC, token);
  }

  /** fallocate(2). Where the ring or the file system can't, `inPlace` does it in some other way. */
  allocate(
    token: number,
    { fd, position, length }: Range,
    mode: number,
    calls: { readonly inPlace: () => Errno; readonly after: () => void },
  ): void {
    this.#start(token, 0, calls.inPlace);
    this.#after[token] = calls.after;
    this.#ring.prepare(UringOp.FALLOCATE, fd, position, length, mode, 0, token);
  }

  /** Writes from memory that stays. */
  fill(token: number, { fd, position, length }: Range, address: number, after: () => void): void {
    this.#start(token, length, (done) => writeFully(fd, address, length - done, position + done));
    this.#after[token] = after;
    this.#ring.prepare(UringOp.WRITE, fd, position, address, length, 0, token);
  }

  /** Nothing is to be done. */
  nothing(token: number): void {
    this.#start(token, 0, () => 0);
    this.#ring.prepare(UringOp.NOP, -1, 0, 0, 0, 0, token);
  }

  /** Nothing is under way any more. */
  close(): void {
    this.#ring.close();
  }

  #start(token: number, expected: number, finish: Finish): void {
    this.#expected[token] = expected;
    this.#finish[token] = finish;
  }
}

/** Errors after which the ordinary call may do better. */
const WORTH_RETRYING: ReadonlySet<Errno> = new Set([EINTR, EAGAIN, EINVAL, ENODEV, EOPNOTSUPP]);
const isWorthRetrying = (errno: Errno): boolean => WORTH_RETRYING.has(errno);
