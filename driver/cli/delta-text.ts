/** What `nbdloop delta` prints. */
import { readableName } from '../file-name.js';
import type { Examined, HeldRun } from '../store/delta/examine.js';
import { humanBytes } from './units.js';

export function deltaText({
  header,
  fileBytes,
  roomBytes,
  heldBlocks,
  chain,
  faults,
  notes,
  path,
}: Examined): string {
  const lines: [string, string][] = [['file', readableName(path)]];
  if (header !== undefined) {
    const { uuid, virtualSize, blockSize, isClean, isSealed, session } = header;
    lines.push(
      ['uuid', uuid],
      ['shows', `${virtualSize} bytes (${humanBytes(virtualSize)})`],
      ['blocks', `${blockSize} bytes each, ${heldBlocks} held (${humanBytes(heldBlocks * blockSize)})`],
      [
        'state',
        `${isClean ? 'clean' : 'not closed in order'}${isSealed ? ', sealed' : ''}, session ${session}`,
      ],
      ['file size', `${fileBytes} bytes, of which ${roomBytes} take room`],
      ...chain.map((base, index): [string, string] => [index === 0 ? 'over' : '', readableName(base)]),
    );
  }
  lines.push(...notes.map((note): [string, string] => ['note', note]));
  lines.push(...faults.map((fault): [string, string] => ['fault', readableName(fault)]));
  return lines.map(([name, text]) => `${name.padEnd(10)} ${text}\n`).join('');
}

export const checkText = ({ path, faults, notes }: Examined): string =>
  [
    ...faults.map((fault) => `${path}: ${fault}\n`),
    ...notes.map((note) => `${path}: note: ${note}\n`),
    `${path}: ${faults.length === 0 ? 'nothing is wrong' : `${faults.length} ${faults.length === 1 ? 'fault' : 'faults'}`}\n`,
  ]
    .map(readableName)
    .join('');

type Runs = AsyncIterable<readonly HeldRun[]>;

export async function* mapText(parts: Runs): AsyncGenerator<string> {
  for await (const runs of parts) yield runs.map(lineOf).join('');
}

const lineOf = ({ offset, length, held }: HeldRun): string =>
  `${String(offset).padStart(16)} ${String(length).padStart(16)} ${held ? 'delta' : 'base'}\n`;

/** As JSON.stringify has it, with an indent of 2. */
export async function* mapJson(parts: Runs): AsyncGenerator<string> {
  let before = '[\n';
  for await (const runs of parts) {
    const text = JSON.stringify(runs, null, 2);
    yield before + text.slice('[\n'.length, -'\n]'.length);
    before = ',\n';
  }
  yield before === ',\n' ? '\n]\n' : '[]\n';
}
