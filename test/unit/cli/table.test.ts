import t from 'tap';
import { type Column, formatTable, type TableOptions } from '../../../driver/cli/table.js';

const COLUMNS: Column[] = [
  { name: 'NAME', align: 'left' },
  { name: 'RO', align: 'right' },
  { name: 'FILE', align: 'left' },
];
const ROWS = [
  ['/dev/loop1', false, '/tmp/q"u\\o\tx'],
  ['loop2', true, '/tmp/sp ace\\xé'],
  ['loop30', null, null],
];
const OPTIONS: TableOptions = { format: 'aligned', headings: true, title: 'loopdevices', unicode: true };

t.test('an aligned table pads all but the last cell, and escapes what would break it', async (t) => {
  t.equal(
    formatTable(COLUMNS, ROWS, OPTIONS),
    [
      'NAME       RO FILE',
      '/dev/loop1  0 /tmp/q"u\\o\\x09x',
      'loop2       1 /tmp/sp ace\\x5cxé',
      'loop30        ',
      '',
    ].join('\n'),
  );
  t.match(formatTable(COLUMNS, ROWS, { ...OPTIONS, unicode: false }), /ace\\x5cx\\xc3\\xa9\n/);
  t.notMatch(formatTable(COLUMNS, ROWS, { ...OPTIONS, headings: false }), /NAME/);
  t.equal(formatTable(COLUMNS, [], OPTIONS), '', 'without rows there is no heading either');
});

t.test('a wide character takes two columns, a combining one none', async (t) => {
  const rows = [
    ['日本', 1, 'x'],
    ['e\u0301', 2, 'y'],
  ];
  t.equal(formatTable(COLUMNS, rows, OPTIONS), 'NAME RO FILE\n日本  1 x\ne\u0301     2 y\n');
});

t.test('a raw table is one word a cell', async (t) => {
  t.equal(
    formatTable(COLUMNS, ROWS, { ...OPTIONS, format: 'raw' }),
    [
      'NAME RO FILE',
      '/dev/loop1 0 /tmp/q"u\\x5co\\x09x',
      'loop2 1 /tmp/sp\\x20ace\\x5cx\\xc3\\xa9',
      'loop30  ',
      '',
    ].join('\n'),
  );
});

t.test('JSON keeps types, and an empty list is a list', async (t) => {
  t.equal(
    formatTable(COLUMNS, ROWS.slice(1), { ...OPTIONS, format: 'json' }),
    `{
   "loopdevices": [
      {
         "name": "loop2",
         "ro": true,
         "file": "/tmp/sp ace\\\\xé"
      },{
         "name": "loop30",
         "ro": null,
         "file": null
      }
   ]
}
`,
  );
  t.equal(formatTable(COLUMNS, [], { ...OPTIONS, format: 'json' }), '{\n   "loopdevices": [\n\n   ]\n}\n');
});
