import { constants } from 'node:os';
import type { Completions, Errno } from '../../server/backend.js';
import * as file from '../io/file-calls.js';
import { flushFile, readDirect, readFully, writeDirect, writeFully } from '../io/transfer.js';
import { FSYNC_DATASYNC, Uring, UringOp } from '../io/uring.js';

const { EAGAIN, EINTR } = constants.errno;

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
      this.#finish[token] = undefined;
      if (finish === undefined) return;
      if (result === this.#expected[token]) onDone(token, 0);
      else if (result >= 0) onDone(token, finish(result));
      else if (isWorthRetrying(-result)) onDone(token, finish(0));
      else onDone(token, -result);
    });
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

  #start(token: number, expected: number, finish: Finish): void {
    this.#expected[token] = expected;
    this.#finish[token] = finish;
  }
}

/** Errors after which the ordinary call may do better. */
const isWorthRetrying = (errno: Errno): boolean => errno === EINTR || errno === EAGAIN;
