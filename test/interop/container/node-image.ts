/**
 * The root file system of an image like Node's own, made of this machine's programs: Node and npm in /usr/local, a
 * shell, a few core utilities, and the libraries they are linked with.
 */
import {
  chmodSync,
  copyFileSync,
  cpSync,
  mkdirSync,
  realpathSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { runOk } from '../../helpers/process.js';
import { tool } from '../../helpers/tools.js';

const CORE = ['cat', 'chmod', 'chown', 'dirname', 'env', 'id', 'ln', 'ls', 'mkdir', 'readlink', 'rm'];
/** As Debian has them since /usr was merged. */
const MERGED = ['bin', 'lib', 'lib64'];
/** What libc6 brings beside libc.so.6: native add-ons of build tools are linked with it. */
const LIBC = ['libdl.so.2', 'libm.so.6', 'libpthread.so.0', 'librt.so.1'];
/** Where a build finds the npm cache of the machine, so that it needs no network where that is filled. */
export const NPM_CACHE = '/var/cache/npm';

export async function makeNodeRoot(root: string): Promise<void> {
  for (const name of ['etc', 'root', 'tmp', 'var/cache', 'usr/local/bin', 'usr/local/etc', 'usr/local/lib']) {
    mkdirSync(join(root, name), { recursive: true });
  }
  for (const name of MERGED) {
    mkdirSync(join(root, 'usr', name), { recursive: true });
    symlinkSync(`usr/${name}`, join(root, name));
  }
  chmodSync(join(root, 'tmp'), 0o1777);
  writeFileSync(join(root, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\n');
  writeFileSync(join(root, 'etc/group'), 'root:x:0:\n');

  const programs = CORE.map((name) => [tool(name), `/usr/bin/${name}`] as const);
  for (const [from, to] of [
    ...programs,
    [tool('sh'), '/usr/bin/sh'] as const,
    [process.execPath, '/usr/local/bin/node'] as const,
  ]) {
    copyFileSync(realpathSync(from), join(root, to));
    for (const library of await librariesOf(from)) {
      addLibrary(root, library);
      if (basename(library) !== 'libc.so.6') continue;
      for (const name of LIBC) addLibrary(root, join(dirname(library), name));
    }
  }
  await addNpm(root);
}

function addLibrary(root: string, library: string): void {
  mkdirSync(dirname(join(root, library)), { recursive: true });
  copyFileSync(realpathSync(library), join(root, library));
}

/** Paths of the shared libraries of a program, the loader among them. */
async function librariesOf(program: string): Promise<string[]> {
  const said = await runOk('ldd', [program]);
  return [...said.matchAll(/(?:=> |^\s+)(\/\S+) \(0x/gm)].map(([, path = '']) => path);
}

/** npm as this machine has it set up: its registry, its certificates. */
async function addNpm(root: string): Promise<void> {
  const from = dirname(dirname(realpathSync(tool('npm'))));
  cpSync(from, join(root, 'usr/local/lib/node_modules/npm'), { recursive: true });
  for (const name of ['npm', 'npx']) {
    symlinkSync(`../lib/node_modules/npm/bin/${name}-cli.js`, join(root, 'usr/local/bin', name));
  }
  const registry = (await runOk('npm', ['config', 'get', 'registry'])).trim();
  const lines = [
    `registry=${registry}`,
    `cache=${NPM_CACHE}`,
    'prefer-offline=true',
    'update-notifier=false',
  ];
  const authorities = process.env.NODE_EXTRA_CA_CERTS ?? '';
  if (authorities !== '') {
    copyFileSync(authorities, join(root, 'etc', basename(authorities)));
    lines.push(`cafile=/etc/${basename(authorities)}`);
  }
  writeFileSync(join(root, 'usr/local/etc/npmrc'), `${lines.join('\n')}\n`);
}
