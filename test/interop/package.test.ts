import { readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import t from 'tap';
import { run, runOk } from '../helpers/process.js';
import { makeSparseFile, TempDir } from '../helpers/temp.js';

t.setTimeout(280_000);

t.test('every locked package, of the tools too, is made for this Node', async (t) => {
  const ended = await run('npm', ['ci', '--dry-run', '--offline', '--engine-strict', '--ignore-scripts']);
  t.equal(ended.status, 0, 'npm ci', { ended });
});

t.test('the packed tarball installs in an empty folder, and runs there', async (t) => {
  using dir = new TempDir();
  const npm = (...args: string[]) => runOk('npm', args, { cwd: dir.path, timeoutMs: 200_000 });
  const [packed] = JSON.parse(
    await runOk('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', dir.path], {
      timeoutMs: 60_000,
    }),
  );
  const paths = packed.files.map((file: { path: string }) => file.path);
  for (const path of [
    'dist/packaging/man/nbdloopd.8',
    'packaging/systemd/nbdloopd.service',
    'README.md',
    'LICENSE',
  ]) {
    t.ok(paths.includes(path), path);
  }
  t.strictSame(
    paths.filter((path: string) => /^(test|bench|dist\/(test|bench))\//.test(path)),
    [],
    'no tests',
  );
  writeFileSync(dir.file('package.json'), '{ "type": "module", "private": true }');
  await npm(
    'install',
    '--no-audit',
    '--no-fund',
    '--prefer-offline',
    '--omit=dev',
    '--engine-strict',
    dir.file(packed.filename),
  );
  t.match(await npm('exec', '--', 'nbdlosetup', '--version'), /^nbdlosetup from nbdloop \d/);
  t.match(await npm('exec', '--', 'nbdloopd', '--version'), /^\d/);
  t.match(await npm('exec', '--', 'nbdloop', 'serve', '--help'), /nbdloop serve/);

  const example = /```ts\n([\s\S]*?)```/.exec(readFileSync('README.md', 'utf8'))?.[1] ?? '';
  t.match(example, "from 'nbdloop'");
  makeSparseFile(dir.file('disk.img'), 1 << 20);
  writeFileSync(dir.file('example.js'), example);
  const said = await runOk(process.execPath, ['example.js'], { cwd: dir.path });
  await t.test('a strict TypeScript program finds its types', async (t) => {
    writeFileSync(dir.file('example.ts'), example);
    writeFileSync(dir.file('wrong.ts'), `${example}\nserve({ files: 'disk.img' });\n`);
    const types = ['--types', 'node', '--typeRoots', resolve('node_modules/@types')];
    const strict = ['--strict', '--noUncheckedIndexedAccess', '--exactOptionalPropertyTypes', ...types];
    const lib = ['--module', 'nodenext', '--target', 'es2023', '--lib', 'es2023,esnext.disposable'];
    const check = (file: string) =>
      run(resolve('node_modules/.bin/tsc'), ['--noEmit', ...strict, ...lib, file], { cwd: dir.path });
    t.match(await check('example.ts'), { status: 0, stdout: '', stderr: '' });
    t.match(await check('wrong.ts'), { stdout: /wrong\.ts.*not assignable/ }, 'and is told of its mistakes');
  });
  t.match(said, /^add loop1\nbind loop1\nnbd\+unix:\/\/\/loop1\?socket=.*nbd\.sock\n[\s\S]*1048576\n$/);
});
