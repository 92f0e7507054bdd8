/** A device in memory: a Backend without a file, for tests of the transmission phase. */
import { constants } from 'node:os';
import koffi from 'koffi';
import type { Access, Backend, Errno } from '../../server/backend.js';
import { addressOf } from '../../server/transmission/sockets.js';

const memcpy = koffi.load('libc.so.6').func('void *memcpy(uintptr_t to, uintptr_t from, size_t count)') as (
  to: number,
  from: number,
  count: number,
) => unknown;

export class MemoryBackend implements Backend {
  readonly content: Uint8Array;
  readonly #address: number;
  /** A frozen device counts nobody in. */
  isFrozen = false;
  /** Requests counted in and not yet out. */
  inFlight = 0;
  /** In place of success of every transfer, when not 0. */
  fault: Errno = 0;
  flushes = 0;

  constructor(size: number) {
    this.content = new Uint8Array(new ArrayBuffer(size));
    this.#address = addressOf(this.content);
  }

  enter(): boolean {
    if (!this.isFrozen) this.inFlight++;
    return !this.isFrozen;
  }

  exit(): void {
    this.inFlight--;
  }

  admit(access: Access, offset: number, length: number): Errno {
    if (offset + length <= this.content.length) return 0;
    return access === 'write' ? constants.errno.ENOSPC : constants.errno.EINVAL;
  }

  read(address: number, offset: number, length: number): Errno {
    if (this.fault === 0) memcpy(address, this.#address + offset, length);
    return this.fault;
  }

  fillPipe(): number {
    return -constants.errno.ENOTSUP;
  }

  write(address: number, offset: number, length: number): Errno {
    if (this.fault === 0) memcpy(this.#address + offset, address, length);
    return this.fault;
  }

  flush(): Errno {
    this.flushes++;
    return this.fault;
  }

  trim(offset: number, length: number): Errno {
    return this.writeZeroes(offset, length);
  }

  writeZeroes(offset: number, length: number): Errno {
    this.content.fill(0, offset, offset + length);
    return 0;
  }

  cache(): Errno {
    return 0;
  }

  extent(_offset: number, length: number): number {
    return length;
  }

  isData(): boolean {
    return true;
  }
}
