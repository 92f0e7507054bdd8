/** The disk of an arm64 guest: an ext4 with the project, its Node and its binding to the C library. */
import { copyFileSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { runOk } from '../helpers/process.js';
import { makeSparseFile, type TempDir } from '../helpers/temp.js';
import { tool } from '../helpers/tools.js';
import { nodeRelease } from '../runner/node-releases.js';
import { cachedTree } from '../vm/debian.js';

const DISK_BYTES = 2 ** 31;

/** What the tests read: sources, what they were compiled to, and packages. */
const PROJECT = [
  ...['package.json', 'README.md', 'CHANGELOG.md', 'docs', 'driver', 'server', 'packaging', 'test', 'bench'],
  ...['dist', 'node_modules'],
];

/** Programs of another processor, and what nothing but a build or a browser needs. */
const LEFT_OUT = [
  '@biomejs',
  '@typescript',
  '@esbuild',
  '@koromix/koffi-linux-x64',
  'es-toolkit',
  'chart.js',
];

/** An image file in `files`: `node` and `project/`, besides an empty `tmp/`. */
export async function projectDisk(files: TempDir): Promise<string> {
  const tree = files.file('tree');
  const project = join(tree, 'project');
  for (const directory of [project, join(tree, 'tmp')]) mkdirSync(directory, { recursive: true });
  const node = await nodeRelease(Number(process.versions.node.split('.')[0]), 'arm64');
  copyFileSync(node.program, join(tree, 'node'));
  const archive = files.file('project.tar');
  const excluded = LEFT_OUT.map((name) => `--exclude=node_modules/${name}`);
  await runOk('tar', ['cf', archive, '--exclude=*.map', ...excluded, ...PROJECT]);
  await runOk('tar', ['xf', archive, '-C', project]);
  const binding = '@koromix/koffi-linux-arm64';
  await runOk('cp', [
    '-r',
    await packageTree(binding, koffiVersion()),
    join(project, 'node_modules', binding),
  ]);
  const image = makeSparseFile(files.file('disk'), DISK_BYTES);
  await runOk(tool('mkfs.ext4'), ['-q', '-F', '-d', tree, image], { timeoutMs: 300_000 });
  return image;
}

const koffiVersion = (): string =>
  JSON.parse(readFileSync('node_modules/koffi/package.json', 'utf8')).version;

/** A package of npm's, unpacked in the cache; no script of its runs. */
function packageTree(name: string, version: string): Promise<string> {
  const file = `${name.replace('@', '').replace('/', '-')}-${version}`;
  return cachedTree(file, async (into) => {
    const options = { cwd: into, timeoutMs: 300_000 };
    await runOk('npm', ['pack', '--silent', '--ignore-scripts', `${name}@${version}`], options);
    await runOk('tar', ['xzf', `${file}.tgz`, '--strip-components=1'], options);
    await runOk('rm', [`${file}.tgz`], options);
  });
}
