/** From wishes to requests: what a disk's threads are asked at the same time, and what the disk holds afterwards. */
import { type DiskModel, type Mark, SECTOR, sectorsOf } from './disk-model.js';
import { LARGEST, type Planned } from './lanes.js';
import type { Wish } from './scenario.js';

/** A request, and what its success says. */
export interface Asked {
  readonly request: Planned;
  /** What was written before all of these requests is durable, and these sectors up to `own`. */
  readonly settles?: { readonly all: Mark; readonly sectors: readonly number[]; readonly own: Mark };
}

/** Writes of a batch. */
const PARTS = 6;

/**
 * Lists of requests that may run at the same time: two of different lists have no sector in common of which one writes. They
 * may have blocks in common. The model takes all of them as carried out.
 */
export function plan(model: DiskModel, lanes: readonly (readonly Wish[])[]): Asked[][] {
  return new Plan(model, lanes.length).make(lanes);
}

class Plan {
  readonly #writers = new Map<number, number>();
  readonly #readers = new Map<number, Set<number>>();
  readonly #own: number[][];
  readonly #begun: Mark;

  constructor(
    private readonly model: DiskModel,
    lanes: number,
  ) {
    this.#own = Array.from({ length: lanes }, () => []);
    this.#begun = model.mark();
  }

  /** In turns, so that none of them has all sectors. */
  make(lanes: readonly (readonly Wish[])[]): Asked[][] {
    const asked: Asked[][] = lanes.map(() => []);
    const longest = Math.max(...lanes.map((wishes) => wishes.length));
    for (let index = 0; index < longest; index++) {
      lanes.forEach((wishes, lane) => {
        const wish = wishes[index];
        const request = wish && this.#request(wish, lane);
        if (request !== undefined) asked[lane]?.push(this.#asked(request, lane));
      });
    }
    return asked;
  }

  #asked(request: Planned, lane: number): Asked {
    if (request.kind !== 'flush' && !(request.kind === 'write' && request.fua)) return { request };
    const sectors = [...(this.#own[lane] ?? [])];
    return { request, settles: { all: this.#begun, sectors, own: this.model.mark() } };
  }

  #request(wish: Wish, lane: number): Planned | undefined {
    if (wish.kind === 'flush') return { kind: 'flush' };
    const { at, length } = this.#range(wish);
    if (length === 0) return undefined;
    if (wish.kind === 'read') return this.#read(at, length, lane);
    if (!this.#mayWrite(at, length, lane)) return undefined;
    if (wish.kind === 'gather') return this.#gather(wish, at, length, lane);
    const data = wish.kind === 'write' ? content(wish.fill, at, length) : Buffer.alloc(length);
    this.#wrote(at, data, lane);
    return wish.kind === 'write'
      ? { kind: 'write', at, data, fua: wish.flag && wish.fill < 64 }
      : { kind: wish.kind, at, length, punch: wish.flag };
  }

  #range({ at, length, unit }: Wish): { readonly at: number; readonly length: number } {
    const { size } = this.model;
    const from = Math.floor((size * at) / 0x1_0000 / unit) * unit;
    const bytes = Math.ceil((1 + (size * length) / 0x1_0000) / unit) * unit;
    return { at: from, length: Math.min(bytes, size - from, LARGEST) };
  }

  #read(at: number, length: number, lane: number): Planned | undefined {
    const sectors = sectorsOf(at, length);
    if (sectors.some((sector) => (this.#writers.get(sector) ?? lane) !== lane)) return undefined;
    for (const sector of sectors) {
      const readers = this.#readers.get(sector) ?? new Set();
      this.#readers.set(sector, readers.add(lane));
    }
    return { kind: 'read', at, meant: Buffer.from(this.model.now.subarray(at, at + length)) };
  }

  #mayWrite(at: number, length: number, lane: number): boolean {
    return sectorsOf(at, length).every((sector) => {
      const readers = this.#readers.get(sector) ?? new Set();
      const isRead = readers.size > 1 || (readers.size === 1 && !readers.has(lane));
      return !isRead && (this.#writers.get(sector) ?? lane) === lane;
    });
  }

  #gather(wish: Wish, at: number, length: number, lane: number): Planned | undefined {
    const stride = Math.max(SECTOR, Math.floor(length / PARTS / SECTOR) * SECTOR);
    // Of those that are out together none is before the other: no two of them have a part of one sector.
    const isAligned = at % SECTOR === 0;
    const half = Math.max(1, Math.floor(stride / 2));
    const each = isAligned ? (wish.flag ? stride : half) : Math.max(1, Math.min(half, stride - SECTOR));
    const data: Buffer[] = [];
    for (let from = at; from + each <= at + length && data.length < PARTS; from += stride) {
      data.push(content(wish.fill, from, each));
      this.#wrote(from, data.at(-1) as Buffer, lane);
    }
    return data.length === 0 ? undefined : { kind: 'gather', at, stride, data };
  }

  #wrote(at: number, data: Buffer, lane: number): void {
    this.model.write(at, data);
    for (const sector of sectorsOf(at, data.length)) {
      this.#writers.set(sector, lane);
      this.#own[lane]?.push(sector);
    }
  }
}

/** Bytes that differ from place to place, and from write to write. */
let writes = 0;
function content(fill: number, at: number, length: number): Buffer {
  const data = Buffer.alloc(length);
  const tag = ++writes;
  for (let index = 0; index < length; index++) data[index] = fill + at + index * 7 + (tag >>> (index % 24));
  return data;
}
