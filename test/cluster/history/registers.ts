/**
 * Whether what readers saw of sectors is what a disk may answer: each sector is a register, every value is written once, and
 * there must be an order of its reads and writes that keeps those in order which did not overlap (linearizability). With
 * every value written once that is decided without a search: P. B. Gibbons and E. Korach, "Testing shared memories", SIAM
 * Journal on Computing 26 (1997), section 4: the zones of the values must not get into each other's way.
 */

export interface Operation {
  readonly kind: 'read' | 'write';
  readonly sector: number;
  /** 0: never written. Else of one write only. */
  readonly value: number;
  /** Milliseconds of one clock: sent, and answered. Infinity for a write that was never acknowledged. */
  readonly start: number;
  readonly end: number;
}

export interface Fault {
  /**
   * lost: acknowledged, and an older value was read ever after. resurrected: read, and then an older one was.
   * reordered: read both ways. garbage: read, and written by nobody. early: read before it was written.
   */
  readonly kind: 'lost' | 'resurrected' | 'reordered' | 'garbage' | 'early';
  readonly sector: number;
  /** What was read, and what should have been; the same where there is no other. */
  readonly read: number;
  readonly instead: number;
  readonly message: string;
}

/** A write and the reads of its value. */
interface Cluster {
  readonly write: Operation;
  readonly reads: Operation[];
}

/** All its operations lie over [from, to]; forward: the first ends before the last begins, so it was the value all the while. */
interface Zone extends Cluster {
  readonly forward: boolean;
  readonly from: number;
  readonly to: number;
}

/** Every fault that is found; of one sector at most one for each value. */
export function checkRegisters(operations: Iterable<Operation>): Fault[] {
  const sectors = new Map<number, Operation[]>();
  for (const operation of operations) {
    const those = sectors.get(operation.sector);
    if (those === undefined) sectors.set(operation.sector, [operation]);
    else those.push(operation);
  }
  return [...sectors].flatMap(([sector, those]) => checkRegister(sector, those));
}

function checkRegister(sector: number, operations: readonly Operation[]): Fault[] {
  const faults: Fault[] = [];
  const unwritten: Operation = { kind: 'write', sector, value: 0, start: -Infinity, end: -Infinity };
  const clusters = new Map<number, Cluster>([[0, { write: unwritten, reads: [] }]]);
  for (const write of operations.filter(({ kind }) => kind === 'write')) {
    if (clusters.has(write.value)) throw new Error(`sector ${sector}: ${write.value} is written twice`);
    clusters.set(write.value, { write, reads: [] });
  }
  for (const read of operations.filter(({ kind }) => kind === 'read')) {
    const cluster = clusters.get(read.value);
    if (cluster === undefined) {
      faults.push(told('garbage', sector, read.value, read.value, 'was read and never written'));
    } else if (read.end < cluster.write.start) {
      faults.push(told('early', sector, read.value, read.value, 'was read before it was written'));
    } else cluster.reads.push(read);
  }
  const zones = [...clusters.values()].filter(isSeen).map(zoneOf);
  return [...faults, ...conflicts(sector, zones)];
}

/** A write without its answer that nobody saw need not have been. */
const isSeen = ({ write, reads }: Cluster): boolean => write.end !== Infinity || reads.length > 0;

function zoneOf(cluster: Cluster): Zone {
  const all = [cluster.write, ...cluster.reads];
  const firstEnd = all.reduce((least, { end }) => Math.min(least, end), Infinity);
  const lastStart = all.reduce((most, { start }) => Math.max(most, start), -Infinity);
  const forward = firstEnd < lastStart;
  return forward
    ? { ...cluster, forward, from: firstEnd, to: lastStart }
    : { ...cluster, forward, from: lastStart, to: firstEnd };
}

/** No two forward zones overlap, and no forward one has a backward one inside. */
function conflicts(sector: number, zones: readonly Zone[]): Fault[] {
  const faults: Fault[] = [];
  const forward = zones.filter((zone) => zone.forward).sort((a, b) => a.from - b.from);
  const furthest: Zone[] = []; // of forward[0..i], the one that ends last
  for (const zone of forward) {
    const before = furthest.at(-1);
    if (before !== undefined && zone.from < before.to) faults.push(conflict(sector, before, zone));
    furthest.push(before === undefined || zone.to > before.to ? zone : before);
  }
  for (const zone of zones) {
    if (zone.forward) continue;
    const around = furthest[lastBefore(forward, zone.from)];
    if (around !== undefined && zone.to < around.to) faults.push(conflict(sector, around, zone));
  }
  return faults;
}

/** Index of the last zone that begins before; -1 for none. */
function lastBefore(zones: readonly Zone[], time: number): number {
  let [low, high] = [0, zones.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((zones[middle]?.from ?? Infinity) < time) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

function conflict(sector: number, one: Zone, other: Zone): Fault {
  const [older, newer] = one.write.start <= other.write.start ? [one, other] : [other, one];
  const stale = older.reads.filter(({ start }) => start > newer.write.end);
  const lastStale = Math.max(...stale.map(({ start }) => start));
  const seenBefore = newer.reads.some(({ end }) => stale.some(({ start }) => end < start));
  const seenAfter = newer.reads.some(({ end }) => end > lastStale);
  const [read, instead] = [older.write.value, newer.write.value];
  const when = stale[0] === undefined ? '' : `, at ${stale[0].start.toFixed(1)} ms`;
  const written = `${instead}, acknowledged at ${newer.write.end.toFixed(1)} ms`;
  if (stale.length > 0 && !seenAfter && !seenBefore) {
    return told('lost', sector, read, instead, `was read${when}, in place of ${written}`);
  }
  if (stale.length > 0 && seenBefore && !seenAfter) {
    return told('resurrected', sector, read, instead, `was read again${when}, after ${written}`);
  }
  return told('reordered', sector, read, instead, `was read${when}, both before and after ${written}`);
}

const told = (kind: Fault['kind'], sector: number, read: number, instead: number, what: string): Fault => ({
  kind,
  sector,
  read,
  instead,
  message: `${kind}: sector ${sector}: ${read} ${what}`,
});
