/** A plain table of what is short. */

import type { ComponentChildren } from 'preact';

export interface Column<T> {
  readonly name: string;
  readonly cell: (row: T) => ComponentChildren;
  readonly isNumber?: boolean;
}

interface TableProps<T> {
  readonly label: string;
  readonly columns: readonly Column<T>[];
  /** Undefined: they are not known yet. */
  readonly rows: readonly T[] | undefined;
  readonly id: (row: T) => string | number;
  /** What stands there without rows. */
  readonly empty: string;
}

export function Table<T>({ label, columns, rows, id, empty }: TableProps<T>) {
  if (rows === undefined) return <p class="faint">Waiting for the daemon.</p>;
  if (rows.length === 0) return <p class="faint">{empty}</p>;
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keyboard
    <section class="scroller" tabIndex={0} aria-label={label}>
      <table>
        <thead>
          <tr>
            {columns.map(({ name, isNumber }) => (
              <th key={name} scope="col" class={isNumber ? 'number' : undefined}>
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={id(row)}>
              {columns.map(({ name, cell, isNumber }) => (
                <td key={name} class={isNumber ? 'number' : undefined}>
                  {cell(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
