import { constants } from 'node:os';
import type { Errno, ZeroMode } from '../../server/backend.js';
import type { Store } from './store.js';

const { ENOTSUP } = constants.errno;

/** What a wrapper that looks at every byte does not offer: it is asked by the plain forms, in place. */
export abstract class WrappedStore implements Store {
  constructor(protected readonly inside: Store) {}

  abstract read(address: number, position: number, length: number): Errno;
  abstract write(address: number, position: number, length: number): Errno;
  abstract writeThrough(address: number, position: number, length: number): Errno;
  abstract flush(): Errno;
  abstract trim(position: number, length: number): Errno;
  abstract zero(position: number, length: number, how: ZeroMode): Errno;
  abstract extent(position: number, length: number): number;

  readNow(address: number, position: number, length: number): Errno {
    return this.read(address, position, length);
  }

  prefetch(position: number, length: number): void {
    this.inside.prefetch(position, length);
  }

  held(position: number, length: number): number {
    return this.inside.held(position, length);
  }

  isData(): boolean {
    return false;
  }

  batchRead(): boolean {
    return false;
  }

  batchWrite(): boolean {
    return false;
  }

  runBatch(): boolean {
    return true;
  }

  batchResult(): Errno {
    return 0;
  }

  fillPipe(): number {
    return -ENOTSUP;
  }

  canWriteFromPipe(): boolean {
    return false;
  }

  writeFromPipe(): Errno {
    return ENOTSUP;
  }

  isDeferred(): boolean {
    return false;
  }

  startRead(): boolean {
    return false;
  }

  startWrite(): boolean {
    return false;
  }

  startFlush(_token: number): boolean {
    return false;
  }

  startTrim(): number {
    return 0;
  }

  startZero(): number {
    return 0;
  }

  close(): void {
    this.inside.close();
  }
}

/** Made durable by writing and flushing, where the store has no way of its own. */
export const writeDurably = (store: Store, address: number, position: number, length: number): Errno =>
  store.writeThrough?.(address, position, length) ??
  (store.write(address, position, length) || store.flush());
