/** Tables as util-linux's libsmartcols prints them: aligned, raw, JSON. Byte for byte, for scripts that parse them. */

import { nameToBytes } from '../file-name.js';

/** A cell; null is "not known", an empty cell or JSON null. */
export type Cell = string | number | bigint | boolean | null;

export interface Column {
  readonly name: string;
  readonly align: 'left' | 'right';
}

export interface TableOptions {
  readonly format: 'aligned' | 'raw' | 'json';
  readonly headings: boolean;
  /** Name of the list in JSON. */
  readonly title: string;
  /** False in a locale that shows ASCII only: other bytes are printed as \xNN. */
  readonly unicode: boolean;
}

/** The text of a table, with a final newline; an aligned or raw table without rows is no text at all. */
export function formatTable(
  columns: readonly Column[],
  rows: readonly (readonly Cell[])[],
  options: TableOptions,
): string {
  if (options.format === 'json') return json(columns, rows, options.title);
  if (rows.length === 0) return '';
  const encode = options.format === 'raw' ? rawCell : (text: string) => alignedCell(text, options.unicode);
  const all = [
    columns.map((column) => column.name),
    ...rows.map((row) => row.map((cell) => encode(textOf(cell)))),
  ];
  const lines = options.headings ? all : all.slice(1);
  if (options.format === 'raw') return lines.map((cells) => `${cells.join(' ')}\n`).join('');
  // A heading that is not printed still has its width.
  const widths = columns.map((_, at) => Math.max(...all.map((cells) => displayWidth(cells[at] ?? ''))));
  return lines.map((cells) => `${alignedLine(columns, cells, widths)}\n`).join('');
}

/** A last cell is not padded on its right, and an empty last cell not at all. */
function alignedLine(
  columns: readonly Column[],
  cells: readonly string[],
  widths: readonly number[],
): string {
  return columns
    .map((column, at) => {
      const cell = cells[at] ?? '';
      const last = at === columns.length - 1;
      const padding = ' '.repeat((widths[at] ?? 0) - displayWidth(cell));
      if (last && cell === '') return '';
      if (column.align === 'right') return padding + cell;
      return last ? cell : cell + padding;
    })
    .join(' ');
}

function json(columns: readonly Column[], rows: readonly (readonly Cell[])[], title: string): string {
  const objects = rows.map((row) => {
    const fields = columns.map(
      (column, at) => `         ${JSON.stringify(column.name.toLowerCase())}: ${jsonOf(row[at] ?? null)}`,
    );
    return `{\n${fields.join(',\n')}\n      }`;
  });
  const list = objects.length === 0 ? '' : `      ${objects.join(',')}`;
  return `{\n   ${JSON.stringify(title)}: [\n${list}\n   ]\n}\n`;
}

/** A number has all its digits; a name its bytes, whatever they are (see `nameToBytes`): JSON.stringify would escape those. */
function jsonOf(cell: Cell): string {
  if (typeof cell === 'bigint') return String(cell);
  if (typeof cell !== 'string') return JSON.stringify(cell);
  const runs = cell.split(/([\udc80-\udcff]+)/u);
  return `"${runs.map((run, i) => (i % 2 === 0 ? JSON.stringify(run).slice(1, -1) : run)).join('')}"`;
}

function textOf(cell: Cell): string {
  if (cell === null) return '';
  return typeof cell === 'boolean' ? (cell ? '1' : '0') : String(cell);
}

const hexByte = (byte: number): string => `\\x${byte.toString(16).padStart(2, '0')}`;
const hexBytes = (text: string): string => [...nameToBytes(text)].map(hexByte).join('');

/** Control characters, line and paragraph ends, bytes that are no UTF-8, and what could be taken for an escape, become \xNN. */
function alignedCell(text: string, unicode: boolean): string {
  const escaped = text.replace(/[\p{Cc}\p{Zl}\p{Zp}\p{Cs}]|\\(?=x)/gu, hexBytes);
  return unicode ? escaped : escaped.replace(/[^\p{ASCII}]+/gu, hexBytes);
}

/** One word: blanks, backslashes and all but printable ASCII become \xNN. */
const rawCell = (text: string): string => text.replace(/[^!-~]+|\\/gu, hexBytes);

/** Columns of a terminal that a text takes: wide East Asian characters and emoji two, combining marks none. */
function displayWidth(text: string): number {
  let width = 0;
  for (const character of text) {
    if (/\p{Mn}|\p{Me}|\p{Cf}/u.test(character)) continue;
    width += WIDE.test(character) ? 2 : 1;
  }
  return width;
}

const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\u33ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1f64f}\u{1f900}-\u{1f9ff}\u{20000}-\u{3fffd}]/u;
