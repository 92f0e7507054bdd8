/** docs/protocol.md names tests: each of them must exist. */
import { existsSync, readFileSync } from 'node:fs';
import t from 'tap';

const rows = readFileSync('docs/protocol.md', 'utf8')
  .split('\n')
  .filter((line) => line.startsWith('| ') && !line.startsWith('| The server |'));

/** The `file` "title", "title" of a row's last cell. */
function* named(row: string): Generator<{ file: string; title: string }> {
  const cell = row.split(' | ').at(-1) ?? '';
  let file = '';
  for (const [, path, title] of cell.matchAll(/`((?:unit|interop|fuzz|vm)\/[\w/-]+)`|"([^"]+)"/g)) {
    if (path !== undefined) file = path;
    else if (title !== undefined) yield { file, title };
  }
}

t.ok(rows.length > 100, `${rows.length} rows`);

t.test('every test that the table names is there', async (t) => {
  for (const row of rows) {
    for (const { file, title } of named(row)) {
      const path = `test/${file}.test.ts`;
      if (!existsSync(path)) t.fail(`${path} does not exist`);
      else if (!readFileSync(path, 'utf8').includes(title)) t.fail(`${path} has no '${title}'`);
    }
  }
});

t.test('a row without a test says so', async (t) => {
  for (const row of rows) {
    if ([...named(row)].length === 0 && !/no test/.test(row)) t.fail(row);
  }
});
