/**
 * Takes over every point where an operation of the loop device waits: mutexes, freezes, files, and the wake-ups
 * between control and data path. A test's scheduler decides who goes on, so that a run depends on its seed only.
 */
import { BackingFile } from '../../driver/io/backing-file.js';
import { OrderedMutex } from '../../driver/locks/mutex.js';
import type { Backing } from '../../driver/loop/backing.js';
import { RequestQueue } from '../../driver/queue/request-queue.js';

/** Resolves when the scheduler says so. */
export type Pause = (label: string) => Promise<void>;

/** Bytes of every fake file. */
const FILE_BYTES = 1n << 20n;

/** Backing files that exist in name only; each may be closed once, and not while a request is on it. */
export class FakeFiles {
  readonly open = new Map<number, string>();
  /** Descriptors that requests are on. */
  readonly inUse = new Map<number, number>();
  /** Descriptors that are in direct I/O mode. */
  readonly direct = new Set<number>();
  readonly mistakes: string[] = [];
  #lastFd = 1000;

  constructor(private readonly pause: Pause) {}

  async make(path: string): Promise<BackingFile> {
    await this.pause(`open ${path}`);
    const fd = ++this.#lastFd;
    this.open.set(fd, path);
    const file: Backing = {
      identity: {
        kind: 'regular',
        device: 1n,
        inode: BigInt(fd),
        birthTime: null,
        generation: null,
        fileSystem: null,
        handle: null,
        blockDevice: null,
      },
      path,
      domain: 'file system 0:1',
      fd,
      usable: true,
      writable: true,
      handed: { file: fd, lock: undefined },
      dioAlignment: 512,
      tellsHoles: false,
      warnings: [],
      size: async () => {
        await this.pause(`size ${path}`);
        return FILE_BYTES;
      },
      sync: () => this.pause(`sync ${path}`),
      setDirect: async (on) => {
        await this.pause(`setDirect ${path}`);
        if (on) this.direct.add(fd);
        else this.direct.delete(fd);
        if ((this.inUse.get(fd) ?? 0) > 0) this.mistakes.push(`direct I/O of ${path} flips under a request`);
      },
      hasLock: () => Promise.resolve(true),
      close: async () => {
        await this.pause(`close ${path}`);
        if (!this.open.delete(fd)) this.mistakes.push(`${path} is closed twice`);
        if ((this.inUse.get(fd) ?? 0) > 0) this.mistakes.push(`${path} is closed under a request`);
      },
    };
    // The class has a private field that nobody but itself looks at.
    return file as BackingFile;
  }

  /** The file behind a descriptor, which must be open, and in direct I/O mode or not as the device says. */
  use(fd: number, direct: boolean): string {
    const path = this.open.get(fd);
    if (this.direct.has(fd) !== direct) this.mistakes.push(`a request sees half of a toggle of ${path}`);
    if (path === undefined) this.mistakes.push(`a request touches descriptor ${fd}, which is closed`);
    this.inUse.set(fd, (this.inUse.get(fd) ?? 0) + 1);
    return path ?? 'closed';
  }

  unuse(fd: number): void {
    this.inUse.set(fd, (this.inUse.get(fd) ?? 0) - 1);
  }
}

/** Replaces a property until the returned function is called. */
function replace<T extends object, K extends keyof T>(target: T, key: K, value: T[K]): () => void {
  const original = Object.getOwnPropertyDescriptor(target, key);
  if (original === undefined) throw new Error(`There is no ${String(key)} to replace.`);
  Object.defineProperty(target, key, { ...original, value });
  return () => Object.defineProperty(target, key, original);
}

/** Atomics.waitAsync whose promises settle within the turn of the notify. */
function deterministicWakes(): (() => void)[] {
  const sleepers = new Map<Int32Array['buffer'], Map<number, (() => void)[]>>();
  const waitAsync = (words: Int32Array, index: number, expected: number) => {
    if (words[index] !== expected) return { async: false, value: 'not-equal' } as const;
    const value = new Promise<'ok'>((resolve) => {
      const here = sleepers.get(words.buffer) ?? new Map<number, (() => void)[]>();
      sleepers.set(words.buffer, here);
      here.set(index, [...(here.get(index) ?? []), () => resolve('ok')]);
    });
    return { async: true, value } as const;
  };
  const notify = (words: Int32Array, index: number): number => {
    const here = sleepers.get(words.buffer);
    const waiters = here?.get(index) ?? [];
    here?.delete(index);
    for (const wake of waiters) wake();
    return waiters.length;
  };
  return [
    replace(Atomics, 'waitAsync', waitAsync as typeof Atomics.waitAsync),
    replace(Atomics, 'notify', notify as typeof Atomics.notify),
  ];
}

/** The adversary is in charge from here to its disposal. */
export class Adversary implements Disposable {
  readonly files: FakeFiles;
  readonly #undo: (() => void)[];

  constructor(pause: Pause) {
    const files = new FakeFiles(pause);
    this.files = files;
    const { acquire } = OrderedMutex.prototype;
    const { freeze } = RequestQueue.prototype;
    this.#undo = [
      replace(BackingFile, 'open', (path) => files.make(path)),
      replace(OrderedMutex.prototype, 'acquire', async function (this: OrderedMutex<string>, options) {
        await pause(`want ${this.lockClass}`);
        const held = await acquire.call(this, options);
        await pause(`have ${this.lockClass}`);
        return held;
      }),
      replace(RequestQueue.prototype, 'freeze', async function (this: RequestQueue, options) {
        await pause('want freeze');
        const frozen = await freeze.call(this, options);
        await pause('have freeze');
        return frozen;
      }),
      ...deterministicWakes(),
    ];
  }

  [Symbol.dispose](): void {
    for (const undo of this.#undo) undo();
  }
}
