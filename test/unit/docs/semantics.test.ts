import { readFileSync } from 'node:fs';
import t from 'tap';
import { DIFFERENCES } from '../../interop/oracle/differences.js';

t.test(
  'the differences that the oracle lets pass are those that the documentation gives reasons for',
  async (t) => {
    const text = readFileSync('docs/semantics.md', 'utf8');
    const [, rest = ''] = text.split('## Differences from the kernel');
    const [table = ''] = rest.split('Not compared');
    const rows = table
      .split('\n')
      .filter((line) => line.startsWith('| ') && !line.startsWith('| difference |'));
    const cells = rows.map((row) => row.split('|').map((cell) => cell.trim()));
    t.same(
      cells.map(([, title]) => title),
      DIFFERENCES.map(({ title }) => title),
    );
    for (const [, title, kernel, reason] of cells) t.ok(kernel !== '' && reason !== '', String(title));
  },
);
