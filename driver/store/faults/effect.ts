/** What a fault makes of a request that it has met. All of it follows from the rule, the request and its place. */
import { wholeAt } from './random.js';
import type { FaultRange, LiveRule } from './rule.js';

const SECTOR = 512;
const PAGE = 4096;

/** What the numbers that are drawn here are for. */
const Use = { SECTORS: 1, PLACE: 2, BIT: 1000 } as const;

/** Of a torn change: bytes that are done, from its beginning. */
export function tornLength(rule: LiveRule, index: number, length: number): number {
  const sectors = Math.ceil(length / SECTOR);
  const done = rule.sectors ?? wholeAt(rule.seed, index, Use.SECTORS, sectors);
  return Math.min(length, done * SECTOR);
}

/**
 * Where a misdirected request goes, bytes; never where it should, unless there is no other place. `size`: of the device.
 * A request of whole pages goes to a page.
 */
export function misdirected(
  rule: LiveRule,
  index: number,
  { offset, length }: FaultRange,
  size: number,
): number {
  const last = Math.max(0, size - length);
  if (rule.to !== null) return Math.min(rule.to, last);
  const unit = (offset % PAGE) + (length % PAGE) === 0 ? PAGE : SECTOR;
  const places = Math.floor(last / unit) + 1;
  const own = Math.floor(offset / unit);
  if (places < 2) return 0;
  const place = wholeAt(rule.seed, index, Use.PLACE, places - 1);
  return (place < own ? place : place + 1) * unit;
}

/** Flips bits of `bytes`, which lie at `offset` of the device: of those in the rule's ranges, where it has some. */
export function flip(rule: LiveRule, index: number, bytes: Uint8Array, offset: number): void {
  const parts = overlaps(rule, { offset, length: bytes.length });
  const total = parts.reduce((sum, { length }) => sum + length, 0);
  for (let n = 0; n < (rule.bits ?? 0); n++) {
    let bit = wholeAt(rule.seed, index, Use.BIT + n, total * 8);
    for (const part of parts) {
      if (bit < part.length * 8) {
        const at = part.offset - offset + Math.floor(bit / 8);
        bytes[at] = (bytes[at] ?? 0) ^ (1 << (bit % 8));
        break;
      }
      bit -= part.length * 8;
    }
  }
}

function overlaps({ ranges }: LiveRule, whole: FaultRange): FaultRange[] {
  if (ranges.length === 0) return [whole];
  const end = whole.offset + whole.length;
  return ranges.flatMap((range) => {
    const from = Math.max(range.offset, whole.offset);
    const to = Math.min(range.offset + range.length, end);
    return from < to ? [{ offset: from, length: to - from }] : [];
  });
}
