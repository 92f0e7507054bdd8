import type { LockClassJson, LockdepSnapshot, LockEdgeJson, LockHolderJson } from '../control/messages.js';

/** The validator's snapshot (`GET /lockdep`) for people: text, and a graph for Graphviz. Pure functions. */

/** Columns padded to their widest cell; numbers to the right. */
function table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string[] {
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => String(row[column] ?? '').length)),
  );
  const line = (cells: readonly (string | number)[]): string =>
    cells
      .map((cell, column) => {
        const width = widths[column] ?? 0;
        return typeof cell === 'number' ? String(cell).padStart(width) : cell.padEnd(width);
      })
      .join('  ')
      .trimEnd();
  return [head, ...rows].map(line);
}

const section = (title: string, lines: readonly string[]): string[] =>
  lines.length === 0
    ? [`${title}: none`, '']
    : [`${title}:`, ...lines.map((line) => `  ${line}`.trimEnd()), ''];

const classLines = (classes: readonly LockClassJson[]): string[] =>
  table(
    ['CLASS', 'ACQUIRES', 'CONTENDED', 'HELD', 'WAITING', 'KERNEL', 'GUARDS'],
    classes.map((c) => [c.name, c.acquires, c.contended, c.held, c.waiting, c.kernelName, c.guards]),
  );

const EDGE_KINDS = { declared: 'declared', undeclared: 'UNDECLARED', wait: 'waits for I/O' } as const;

const edgeLines = (edges: readonly LockEdgeJson[]): string[] =>
  table(
    ['EDGE', 'COUNT', 'KIND', 'FIRST SEEN'],
    edges.map((e) => [
      `${e.from} -> ${e.to}`,
      e.count,
      e.reported ? `${EDGE_KINDS[e.kind]}, REPORTED` : EDGE_KINDS[e.kind],
      e.first === null ? '-' : `${e.first.task} ${e.first.to.stack[0] ?? ''}`.trimEnd(),
    ]),
  );

const holderLines = (holders: readonly LockHolderJson[]): string[] =>
  table(
    ['CLASS', 'NAME', 'STATE', 'FOR', 'TASK', 'WHERE'],
    holders.map((h) => [h.lockClass, h.name, h.state, `${h.since.toFixed(0)} ms`, h.task, h.stack[0] ?? '-']),
  );

/** What `nbdloop lockdep` prints: classes, edges with counts, present holders, reports. */
export function lockdepText({ classes, edges, holders, reports }: LockdepSnapshot): string {
  const told = reports.map(({ count, text }) => (count === 1 ? text : `${text}\n(seen ${count} times)`));
  return [
    ...section('Lock classes', classLines(classes)),
    ...section('Edges (held -> acquired)', edges.length === 0 ? [] : edgeLines(edges)),
    ...section('Held or waited for now', holders.length === 0 ? [] : holderLines(holders)),
    reports.length === 0 ? 'Reports: none' : `Reports: ${reports.length}\n\n${told.join('\n\n')}`,
    '',
  ].join('\n');
}

const quoted = (text: string): string => `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;

const attributes = (list: Readonly<Record<string, string>>): string =>
  Object.entries(list)
    .map(([key, value]) => `${key}=${quoted(value)}`)
    .join(' ');

function edgeAttributes({ kind, reported, count }: LockEdgeJson): Record<string, string> {
  if (kind === 'wait') return { style: 'dotted', label: 'waits for I/O' };
  if (reported) return { color: 'red', penwidth: '2', label: `${count} (reported)` };
  return { style: count === 0 ? 'dashed' : 'solid', label: String(count) };
}

/**
 * What `nbdloop lockdep --dot` prints: solid edges were seen, dashed ones are declared and were not, dotted ones
 * are waits, red ones were reported.
 */
export function lockdepDot({ classes, edges }: LockdepSnapshot): string {
  // A node's label holds a line break that Graphviz reads as an escape, so it is quoted by itself.
  const nodes = classes.map(
    (c) => `  ${quoted(c.name)} [label=${quoted(c.name).slice(0, -1)}\\n${quoted(c.kernelName).slice(1)}];`,
  );
  const lines = edges.map(
    (e) => `  ${quoted(e.from)} -> ${quoted(e.to)} [${attributes(edgeAttributes(e))}];`,
  );
  return ['digraph lockdep {', '  rankdir=TB;', '  node [shape=box];', ...nodes, ...lines, '}', ''].join(
    '\n',
  );
}
