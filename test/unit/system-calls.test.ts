import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { start } from '../helpers/process.js';
import { TempDir } from '../helpers/temp.js';

/** A C function as a source declares it to koffi. */
interface Declaration {
  readonly source: string;
  readonly name: string;
  readonly result: string;
}

/** `func('int close(int fd)')` and `func('syscall', 'long', [...])`. */
const WHOLE = /\.func\(\s*'([a-z0-9_ *]+?[ *])(\w+)\(/g;
const IN_PARTS = /\.func\(\s*'(\w+)',\s*'([^']+)'/g;

const declarationsOf = (source: string, text: string): Declaration[] => [
  ...[...text.matchAll(WHOLE)].map(([, result = '', name = '']) => ({ source, name, result: result.trim() })),
  ...[...text.matchAll(IN_PARTS)].map(([, name = '', result = '']) => ({ source, name, result })),
];

const sources = ['server', 'driver'].flatMap((directory) =>
  readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join(directory, name)),
);

/** An unsigned -1 is 2^64-1, which is no number below 0 and, being a bigint, breaks arithmetic. */
const SIGNED = ['int', 'long', 'intptr_t', 'int64_t', 'void'];

t.test('what a C function returns is declared signed, so that -1 arrives as -1', async (t) => {
  const texts = sources.map((source) => ({ source, text: readFileSync(source, 'utf8') }));
  const found = texts.flatMap(({ source, text }) => declarationsOf(source, text));
  const written = texts.reduce((sum, { text }) => sum + text.split('.func(').length - 1, 0);
  t.ok(written > 30, 'there are declarations');
  t.equal(found.length, written, 'and each was read');
  t.strictSame(
    found.filter(({ result }) => !SIGNED.includes(result)),
    [],
  );
});

t.test('declarations are read in both forms', async (t) => {
  const source = `
    libc.func('uintptr_t mmap(uintptr_t at, size_t length)');
    libc.func(
      'unsigned long getauxval(unsigned long type)',
    );
    libc.func('void *malloc(size_t size)');
    libc.func('syscall', 'long', ['long'])`;
  t.strictSame(
    declarationsOf('x.ts', source).map(({ name, result }) => `${name}: ${result}`),
    ['mmap: uintptr_t', 'getauxval: unsigned long', 'malloc: void *', 'syscall: long'],
  );
});

t.test('on a processor whose system calls it does not know the daemon says so and ends', async (t) => {
  using dir = new TempDir();
  const other = `data:text/javascript,Object.defineProperty(process, 'arch', { value: 'riscv64' })`;
  const options = ['--listen', 'none', '--unix', dir.file('n.sock'), '--control', dir.file('c.sock')];
  await using daemon = start(process.execPath, ['--import', other, 'dist/bin/nbdloopd.js', ...options]);
  const ended = await daemon.wait(30_000);
  t.equal(ended.status, 1, 'exit status', { ended });
  t.equal(
    ended.stderr,
    'nbdloopd: nbdloop runs on x64 and arm64 processors; this one is riscv64 (see "processor" in nbdloop doctor) (ENOSYS)\n',
  );
});
