/** Where the boxes of the lock order go: what is held first is above what is acquired under it. */

import type { LockClassJson, LockEdgeJson } from '../../../control/messages.js';

export const BOX = { width: 190, height: 48 } as const;
const GAP = { x: 34, y: 62 } as const;
const MARGIN = 14;

export interface Box {
  readonly name: string;
  readonly x: number;
  readonly y: number;
}

export interface DrawnEdge {
  readonly edge: LockEdgeJson;
  /** Of an SVG path. */
  readonly path: string;
  /** Where its count is written. */
  readonly label: { readonly x: number; readonly y: number };
}

export interface Layout {
  readonly width: number;
  readonly height: number;
  readonly boxes: readonly Box[];
  readonly edges: readonly DrawnEdge[];
}

export function layOut(classes: readonly LockClassJson[], edges: readonly LockEdgeJson[]): Layout {
  const names = classes.map(({ name }) => name);
  const levels = levelsOf(names, edges);
  const height = Math.max(0, ...levels.values()) + 1;
  // Those that nothing leads to or from stand aside.
  const isAlone = (name: string): number =>
    edges.some(({ from, to }) => from === name || to === name) ? 0 : 1;
  const byLevel = Array.from({ length: height }, (_, level) =>
    names.filter((name) => levels.get(name) === level).sort((a, b) => isAlone(a) - isAlone(b)),
  );
  const widest = Math.max(1, ...byLevel.map((row) => row.length));
  // Room on both sides for edges that go around boxes.
  const side = 56;
  const width = widest * (BOX.width + GAP.x) - GAP.x + 2 * (MARGIN + side);
  const boxes = byLevel.flatMap((row, level) => {
    const rowWidth = row.length * (BOX.width + GAP.x) - GAP.x;
    return row.map(
      (name, at): Box => ({
        name,
        x: (width - rowWidth) / 2 + at * (BOX.width + GAP.x),
        y: MARGIN + level * (BOX.height + GAP.y),
      }),
    );
  });
  const places = new Map(boxes.map((box) => [box.name, box]));
  let around = 0;
  const drawn = edges.flatMap((edge): DrawnEdge[] => {
    const from = places.get(edge.from);
    const to = places.get(edge.to);
    if (from === undefined || to === undefined) return [];
    const down = (levels.get(edge.to) ?? 0) - (levels.get(edge.from) ?? 0);
    if (down === 1) return [{ edge, ...straight(from, to) }];
    return [{ edge, ...(down === -1 ? rising(from, to) : beside(from, to, boxes, around++)) }];
  });
  return { width, height: MARGIN * 2 + height * (BOX.height + GAP.y) - GAP.y, boxes, edges: drawn };
}

/** The longest way from the top; an edge that leads back to what is above it counts for nothing. */
function levelsOf(names: readonly string[], edges: readonly LockEdgeJson[]): Map<string, number> {
  const next = new Map<string, string[]>();
  const forward = edges.filter(({ kind, reported, from, to }) => kind !== 'wait' && !reported && from !== to);
  for (const { from, to } of forward) next.set(from, [...(next.get(from) ?? []), to]);
  const levels = new Map<string, number>(names.map((name) => [name, 0]));
  const push = (name: string, level: number, path: readonly string[]): void => {
    if (path.includes(name) || (level < (levels.get(name) ?? 0) && path.length > 0)) return;
    levels.set(name, Math.max(level, levels.get(name) ?? 0));
    for (const below of next.get(name) ?? []) push(below, (levels.get(name) ?? 0) + 1, [...path, name]);
  };
  for (const name of names) push(name, 0, []);
  return levels;
}

type Line = Pick<DrawnEdge, 'path' | 'label'>;

function straight(from: Box, to: Box): Line {
  return curve(from.x + BOX.width / 2, from.y + BOX.height, to.x + BOX.width / 2, to.y - 4);
}

/** Back to the row above, at the right of what comes down. */
function rising(from: Box, to: Box): Line {
  return curve(from.x + BOX.width * 0.8, from.y, to.x + BOX.width * 0.8, to.y + BOX.height + 4);
}

/** Leaves and arrives upright. */
function curve(x1: number, y1: number, x2: number, y2: number): Line {
  const middle = (y1 + y2) / 2;
  return {
    path: `M${x1} ${y1}C${x1} ${middle} ${x2} ${middle} ${x2} ${y2}`,
    label: { x: (x1 + x2) / 2, y: middle },
  };
}

/** Around what is between, to the left and to the right in turns. */
function beside(from: Box, to: Box, boxes: readonly Box[], turn: number): Line {
  const isLeft = turn % 2 === 0;
  const out = 26 + Math.floor(turn / 2) * 18;
  const [top, bottom] = [Math.min(from.y, to.y), Math.max(from.y, to.y)];
  const between = boxes.filter(({ y }) => y >= top && y <= bottom).map(({ x }) => x);
  // A curve comes three quarters of the way to the points that pull it.
  const edge = isLeft
    ? Math.min(...between) - (out + 20) * 1.33
    : Math.max(...between) + BOX.width + (out + 20) * 1.33;
  const [x1, x2] = isLeft ? [from.x, to.x - 4] : [from.x + BOX.width, to.x + BOX.width + 4];
  const [y1, y2] = [from.y + BOX.height / 2 + 8, to.y + BOX.height / 2 - 8];
  return {
    path: `M${x1} ${y1}C${edge} ${y1} ${edge} ${y2} ${x2} ${y2}`,
    label: { x: (x1 + x2) / 8 + (edge * 3) / 4, y: (y1 + y2) / 2 },
  };
}
