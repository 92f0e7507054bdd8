import { constants } from 'node:os';
import type { Errno } from '../../server/backend.js';
import { type Aio, AioOp } from '../io/aio.js';
import { readFully, writeFully } from '../io/transfer.js';

const { EAGAIN } = constants.errno;

/**
 * Reads and writes of one file that are carried out together. What the kernel did not do whole is done again by
 * the ordinary calls, so that every special case (a short transfer, the end of the file, an error) has one home.
 */
export class Batch {
  constructor(private readonly aio: Aio) {}

  get isFull(): boolean {
    return this.aio.count === this.aio.entries;
  }

  addRead(fd: number, position: number, address: number, length: number, isNoWait: boolean): void {
    this.aio.add(AioOp.READ, fd, position, address, length, isNoWait);
  }

  addWrite(fd: number, position: number, address: number, length: number): void {
    this.aio.add(AioOp.WRITE, fd, position, address, length, false);
  }

  /** True when all of it succeeded. */
  run(): boolean {
    return this.aio.run();
  }

  /** The errno of a part, which is done now where it was not. EAGAIN: it would wait, and has not begun. */
  finish(index: number): Errno {
    const { operation, fd, position, address, length, isNoWait } = this.aio.part(index);
    const result = this.aio.result(index);
    if (result === length) return 0;
    if (operation === AioOp.WRITE) return writeFully(fd, address, length, position);
    // Part of it in the page cache: the rest would wait. Nothing at all: it is past the end of the file.
    if (isNoWait && (result === -EAGAIN || result > 0)) return EAGAIN;
    return readFully(fd, address, length, position);
  }
}
