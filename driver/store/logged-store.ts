import type { Errno, ZeroMode } from '../../server/backend.js';
import { type AlignedMemory, alignedMemory } from '../io/aligned.js';
import { memcpy } from '../io/file-calls.js';
import { LogFlag } from './log/format.js';
import { LOG_SECTOR, type LoggedDescription, LogWriter } from './log/log-writer.js';
import type { Store } from './store.js';
import { WrappedStore, writeDurably } from './wrapped-store.js';

/**
 * Writes down what it passes on, in the order in which it was done: a write and its entry are one step for all threads. What can't be
 * written down fails.
 */
export class LoggedStore extends WrappedStore {
  readonly #log: LogWriter;
  readonly #start: number;
  /** For sectors of which only a part was written. */
  #edges: AlignedMemory | undefined;

  constructor(inside: Store, description: LoggedDescription) {
    super(inside);
    this.#log = new LogWriter(description);
    this.#start = description.start;
  }

  read(address: number, position: number, length: number): Errno {
    return this.inside.read(address, position, length);
  }

  write(address: number, position: number, length: number): Errno {
    return this.#log.lock.run(
      () => this.inside.write(address, position, length) || this.#note(0, address, position, length),
    );
  }

  writeThrough(address: number, position: number, length: number): Errno {
    return this.#log.lock.run(
      () =>
        writeDurably(this.inside, address, position, length) ||
        this.#note(LogFlag.FUA, address, position, length),
    );
  }

  flush(): Errno {
    return this.inside.flush() || this.#log.lock.run(() => this.#log.append(LogFlag.FLUSH, 0, 0, 0));
  }

  trim(position: number, length: number): Errno {
    return this.#log.lock.run(
      () => this.inside.trim(position, length) || this.#noteDiscard(position, length),
    );
  }

  /** A discard is what the format has for zeroes: whoever replays it reads zeroes there. */
  zero(position: number, length: number, how: ZeroMode): Errno {
    return this.#log.lock.run(
      () => this.inside.zero(position, length, how) || this.#noteDiscard(position, length),
    );
  }

  extent(position: number, length: number): number {
    return this.inside.extent(position, length);
  }

  #note(flags: number, address: number, position: number, length: number): Errno {
    const offset = position - this.#start;
    if ((offset | length) % LOG_SECTOR === 0) return this.#log.append(flags, offset, length, address);
    return this.#noteCovering(flags, position, length, (to) => memcpy(to, address, length));
  }

  /** The log has whole sectors: what else is in them is read. */
  #noteCovering(flags: number, position: number, length: number, put?: (to: number) => void): Errno {
    const offset = position - this.#start;
    const from = offset - (offset % LOG_SECTOR);
    const bytes = Math.ceil((offset + length) / LOG_SECTOR) * LOG_SECTOR - from;
    if (this.#edges === undefined || this.#edges.bytes.length < bytes) this.#edges = alignedMemory(bytes);
    const { address } = this.#edges;
    const errno = this.inside.read(address, this.#start + from, bytes);
    if (errno !== 0) return errno;
    put?.(address + offset - from);
    return this.#log.append(flags, from, bytes, address);
  }

  /** Caller has the lock. A discard of parts of sectors is a write of what they hold now. */
  #noteDiscard(position: number, length: number): Errno {
    const offset = position - this.#start;
    if ((offset | length) % LOG_SECTOR === 0) return this.#log.append(LogFlag.DISCARD, offset, length, 0);
    return this.#noteCovering(0, position, length);
  }
}
