/** What is left of a volatile cache when the power goes. */
import { type AlignedMemory, alignedMemory } from '../../io/aligned.js';
import { readFully } from '../../io/transfer.js';
import { wholeAt } from '../faults/random.js';
import { LogFlag } from '../log/format.js';
import { LogReader, type ReadEntry } from '../log/log-reader.js';
import type { Store } from '../store.js';
import { SECTOR } from './sector-map.js';

/** What is kept of what was not made durable. */
export interface Keep {
  readonly keep: 'none' | 'all' | 'random';
  readonly seed: number;
  /** Of a write, some sectors may be kept and others not; else all or none. */
  readonly tear: boolean;
}

/** How many writes (trims and zeroes too) were in the cache, and what became of them. */
export interface CutResult {
  readonly writes: number;
  readonly kept: number;
  /** Of which a part was kept. */
  readonly torn: number;
}

const PUNCH = { punch: true, fast: false } as const;

/**
 * Carries over what is kept, in the order in which it was written. `journal`: a descriptor. Throws where the store can't be
 * written; what is kept is decided by seed, the write's place and the sector's place in it alone.
 */
export function cut(inside: Store, journal: number, { keep, seed, tear }: Keep): CutResult {
  const result = { writes: 0, kept: 0, torn: 0 };
  for (const entry of new LogReader(journal).read()) {
    const isDurable = (entry.flags & LogFlag.FUA) !== 0;
    const place = result.writes;
    if (!isDurable) result.writes++;
    const sectors = entry.length / SECTOR;
    let runs: readonly (readonly [number, number])[] = [];
    // What was durable stays over what was written before it.
    if (isDurable || keep === 'all') runs = [[0, sectors]];
    else if (keep === 'random' && tear) runs = tornRuns(seed, place, sectors);
    else if (keep === 'random' && wholeAt(seed, place, 0, 2) === 1) runs = [[0, sectors]];
    for (const [from, to] of runs) apply(inside, journal, entry, from * SECTOR, to * SECTOR);
    const kept = runs.reduce((sum, [from, to]) => sum + to - from, 0);
    if (isDurable || kept === 0) continue;
    result.kept++;
    if (kept < sectors) result.torn++;
  }
  return result;
}

/** The sectors of a write that are kept, each by a draw of its own, as runs. */
function tornRuns(seed: number, place: number, sectors: number): [number, number][] {
  const runs: [number, number][] = [];
  for (let sector = 0; sector < sectors; sector++) {
    if (wholeAt(seed, place, 1 + sector, 2) === 0) continue;
    const last = runs.at(-1);
    if (last !== undefined && last[1] === sector) last[1]++;
    else runs.push([sector, sector + 1]);
  }
  return runs;
}

const PIECE = 1 << 20;
let piece: AlignedMemory | undefined;

function apply(inside: Store, journal: number, entry: ReadEntry, from: number, to: number): void {
  if ((entry.flags & LogFlag.DISCARD) !== 0) {
    expect(inside.zero(entry.position + from, to - from, PUNCH));
    return;
  }
  piece ??= alignedMemory(PIECE);
  for (let at = from; at < to; at += PIECE) {
    const length = Math.min(PIECE, to - at);
    expect(readFully(journal, piece.address, length, entry.dataAt + at));
    expect(inside.write(piece.address, entry.position + at, length));
  }
}

function expect(errno: number): void {
  if (errno !== 0) throw new Error(String(errno));
}
