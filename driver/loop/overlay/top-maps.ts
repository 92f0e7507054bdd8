/** The maps of a delta that is written: what its threads share (`TopLayer`), and what of it outlives the process. */
import { readFileSync } from 'node:fs';
import { open, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { FALLOC_FL_KEEP_SIZE, fallocate } from '../../io/file-calls.js';
import { type Mapped, mapShared, unmap, wordsOf } from '../../io/mapped.js';
import { makeFlushState } from '../../store/delta/flush-state.js';
import { bitmapBytesFor, type DeltaHeader } from '../../store/delta/header.js';
import type { TopLayer } from '../../store/description.js';

/** The memory of the kernel's life: what survives the process, and not the machine. */
const bootId = (): string => {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim().slice(0, 8);
  } catch {
    return 'unknown';
  }
};

/**
 * Where the bits of blocks lie that are written and not flushed: in a file of the state directory, so that a daemon that is
 * killed loses nothing that its clients count on. It is of use only to whoever opens the delta next, in this kernel's life.
 */
const mapName = ({ uuid, session }: DeltaHeader): string => `delta-${uuid}-${session}-${bootId()}.map`;

/** The bits that a daemon before this one left there, if it did. */
export async function leftBits(
  directory: string | undefined,
  header: DeltaHeader,
): Promise<Buffer | undefined> {
  if (directory === undefined || header.isClean) return undefined;
  const file = await open(join(directory, mapName(header)), 'r').catch(() => undefined);
  if (file === undefined) return undefined;
  try {
    return await file.readFile();
  } finally {
    await file.close();
  }
}

export class TopMaps {
  readonly present: Mapped;
  readonly durable: Mapped;
  readonly claims: SharedArrayBuffer;
  readonly flushState: SharedArrayBuffer;

  private constructor(
    present: Mapped,
    durable: Mapped,
    isUnknown: boolean,
    readonly path: string | undefined,
  ) {
    this.present = present;
    this.durable = durable;
    this.claims = new SharedArrayBuffer(present.bytes);
    this.flushState = makeFlushState(present.bytes, { isUnknown });
  }

  /**
   * Maps for what a delta shows. `onDisk`: its bitmap; `left`: what an earlier daemon knew besides. `directory`: where they
   * outlive this process; undefined: nowhere.
   */
  static async make(
    header: DeltaHeader,
    onDisk: Uint8Array,
    options: { readonly left?: Uint8Array | undefined; readonly directory: string | undefined },
  ): Promise<TopMaps> {
    const bytes = bitmapBytesFor(header.virtualSize, header.blockSize);
    const { left, directory } = options;
    const path = directory === undefined ? undefined : join(directory, mapName(header));
    const fresh = path === undefined ? undefined : `${path}.new`;
    const present = fresh === undefined ? mapShared(-1, bytes) : await mapFile(fresh, bytes);
    const durable = mapShared(-1, bytes);
    const [now, disk] = [wordsOf(present), wordsOf(durable)];
    disk.set(wordsIn(onDisk, bytes));
    now.set(disk);
    if (left !== undefined) {
      wordsIn(left, bytes).forEach((word, index) => {
        now[index] = (now[index] ?? 0) | word;
      });
    }
    // Until this one has them all, what an earlier daemon left is the only one.
    if (path !== undefined) await rename(`${path}.new`, path);
    return new TopMaps(present, durable, left !== undefined, path);
  }

  layer(header: DeltaHeader, file: { readonly fd: number; readonly tellsHoles: boolean }): TopLayer {
    const { present, durable, claims, flushState } = this;
    return {
      ...{ fd: file.fd, tellsHoles: file.tellsHoles, present, durable, claims, flushState },
      ...{ blockSize: header.blockSize, size: header.virtualSize, dataOffset: header.dataOffset },
    };
  }

  /** What it tells now, as bytes. */
  bits(): Buffer {
    const words = wordsOf(this.present);
    return Buffer.from(words.buffer, words.byteOffset, words.byteLength);
  }

  /** No thread looks at it any more. */
  unmap(): void {
    unmap(this.present);
    unmap(this.durable);
  }

  /** Everything is on disk: nobody needs what outlives the process. */
  async forget(): Promise<void> {
    if (this.path !== undefined) await rm(this.path, { force: true });
  }
}

/** Its room is reserved: memory that can't be had when it is touched would end the process. */
async function mapFile(path: string, bytes: number): Promise<Mapped> {
  const file = await open(path, 'w+', 0o600);
  try {
    await file.truncate(bytes);
    fallocate(file.fd, FALLOC_FL_KEEP_SIZE, 0, bytes);
    const zeroes = Buffer.alloc(bytes);
    await file.write(zeroes, 0, bytes, 0);
    return mapShared(file.fd, bytes);
  } finally {
    await file.close();
  }
}

const wordsIn = (bytes: Uint8Array, most: number): Int32Array =>
  new Int32Array(
    Uint8Array.from(bytes.subarray(0, most - (most % 4))).buffer.slice(0, Math.min(bytes.length, most) & ~3),
  );

/** Maps of another life of this kernel, or of deltas that nobody will open, are of no use. */
export async function dropOldMaps(directory: string): Promise<void> {
  const names = await readdir(directory).catch(() => []);
  const old = names.filter(
    (name) => /^delta-.*\.map(\.new)?$/.test(name) && !name.endsWith(`-${bootId()}.map`),
  );
  await Promise.all(old.map((name) => rm(join(directory, name), { force: true })));
}
