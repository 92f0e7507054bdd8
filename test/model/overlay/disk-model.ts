/**
 * What a disk holds, and what each of its sectors may hold after a crash: what it held when it was durable last, or anything
 * that was written to it later.
 */

export const SECTOR = 512;

interface Version {
  /** Versions of all sectors are numbered in the order in which they came to be. */
  readonly number: number;
  readonly content: Buffer;
}

/** Everything up to this version. */
export type Mark = number;

export class DiskModel {
  /** What it reads as; whole sectors. */
  now: Buffer;
  #last = 0;
  #histories: Version[][];

  /** `content` is durable. */
  constructor(content: Buffer) {
    this.now = Buffer.from(content);
    this.#histories = this.#begin(0);
  }

  get size(): number {
    return this.now.length;
  }

  /** Sent, and perhaps carried out. */
  write(at: number, data: Buffer): void {
    data.copy(this.now, at);
    this.#last++;
    for (const sector of sectorsOf(at, data.length)) {
      this.#histories[sector]?.push({ number: this.#last, content: this.#content(sector) });
    }
  }

  mark(): Mark {
    return this.#last;
  }

  /** What was written up to then is durable, in these sectors. */
  durable(mark: Mark, sectors: Iterable<number> = this.#histories.keys()): void {
    for (const sector of sectors) {
      const history = this.#histories[sector] ?? [];
      const kept = history.findLastIndex(({ number }) => number <= mark);
      if (kept > 0) history.splice(0, kept);
    }
  }

  /** It has more sectors, which are durable as they are. */
  grow(more: Buffer): void {
    const before = this.#histories.length;
    this.now = Buffer.concat([this.now, more]);
    this.#histories.push(...this.#begin(before));
  }

  /** A crash left this. Throws where a sector holds what it may not; else that is what the disk holds, durably. */
  found(content: Buffer): void {
    for (const [sector, history] of this.#histories.entries()) {
      const found = content.subarray(sector * SECTOR, (sector + 1) * SECTOR);
      if (history.some((version) => version.content.equals(found))) continue;
      const others = this.#histories.findIndex(([first]) => first?.content.equals(found));
      throw new Error(
        `sector ${sector} holds none of the ${history.length} things it may${others < 0 ? '' : `, but what sector ${others} held`}`,
      );
    }
    this.now = Buffer.from(content);
    this.#histories = this.#begin(0);
  }

  /** Throws where the content is not what it reads as. */
  check(content: Buffer): void {
    if (content.equals(this.now)) return;
    const at = this.now.findIndex((byte, index) => byte !== content[index]);
    throw new Error(`byte ${at} (sector ${Math.floor(at / SECTOR)}) is another one than was written`);
  }

  #content(sector: number): Buffer {
    return Buffer.from(this.now.subarray(sector * SECTOR, (sector + 1) * SECTOR));
  }

  #begin(first: number): Version[][] {
    return Array.from({ length: this.now.length / SECTOR - first }, (_, index) => [
      { number: this.#last, content: this.#content(first + index) },
    ]);
  }
}

/** The sectors that a range of bytes has a part of. */
export function sectorsOf(at: number, length: number): number[] {
  const first = Math.floor(at / SECTOR);
  return Array.from({ length: Math.ceil((at + length) / SECTOR) - first }, (_, index) => first + index);
}
