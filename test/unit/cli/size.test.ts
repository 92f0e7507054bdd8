import t from 'tap';
import { parseSize } from '../../../driver/cli/size.js';

t.test('sizes are read as util-linux reads them', async (t) => {
  const cases: [string, bigint][] = [
    ['0', 0n],
    ['1', 1n],
    ['1K', 1024n],
    ['1k', 1024n],
    ['1KiB', 1024n],
    ['1kib', 1024n],
    ['1KB', 1000n],
    ['1kb', 1000n],
    ['2M', 2n << 20n],
    ['3MB', 3_000_000n],
    ['1G', 1n << 30n],
    ['1GiB', 1n << 30n],
    ['1E', 1n << 60n],
    ['0x10', 16n],
    ['010', 8n],
    ['0x10K', 16_384n],
    ['+5', 5n],
    [' 5', 5n],
    ['1.5K', 1536n],
    ['0.5M', 524_288n],
    ['9E', 9n << 60n],
    ['18446744073709551615', (1n << 64n) - 1n],
  ];
  for (const [text, bytes] of cases) t.equal(parseSize(text), bytes, text);
});

t.test('what is no size is EINVAL, and what is too large is ERANGE', async (t) => {
  for (const text of [
    '',
    'abc',
    '-1',
    '1.5',
    '5b',
    '5B',
    '1 K',
    '1Ki',
    '1KIB',
    '1iB',
    '3s',
    '2M4',
    '.5K',
    '1,5K',
    '09',
    '0x',
  ]) {
    t.throws(() => parseSize(text), { errno: 'EINVAL', message: `'${text}': Invalid argument` }, text);
  }
  for (const text of ['16E', '1Z', '1Y', '18446744073709551616']) {
    t.throws(
      () => parseSize(text),
      { errno: 'ERANGE', message: `'${text}': Numerical result out of range` },
      text,
    );
  }
});
