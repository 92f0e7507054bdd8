/** The small initial RAM disk of a guest: busybox, the modules and an init. */
import { chmodSync, copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runOk } from '../helpers/process.js';
import { tool } from '../helpers/tools.js';
import { moduleName } from './modules.js';

export interface InitrdOptions {
  /** A static busybox of the guest's architecture. */
  readonly busybox: string;
  /** Directory that module paths are relative to. */
  readonly modulesDirectory: string;
  /** In load order; `.ko`, or compressed as `.ko.xz`. */
  readonly modules: readonly string[];
  /** Parameters by module name, e.g. { nbd: 'nbds_max=4' }; each module must be among the modules. */
  readonly parameters: Readonly<Record<string, string>>;
  /** Text of /init. */
  readonly init: string;
}

/** Builds the image `DIRECTORY/initrd` out of `DIRECTORY/initrd.d`. Needs no root: the kernel brings /dev/console. */
export async function buildInitrd(directory: string, options: InitrdOptions): Promise<string> {
  const tree = join(directory, 'initrd.d');
  for (const name of ['bin', 'dev', 'proc', 'sys', 'modules', 'newroot']) {
    mkdirSync(join(tree, name), { recursive: true });
  }
  copyFileSync(options.busybox, join(tree, 'bin/busybox'));
  await placeModules(options, join(tree, 'modules'));
  writeFileSync(join(tree, 'modules/list'), moduleList(options));
  writeFileSync(join(tree, 'init'), options.init);
  chmodSync(join(tree, 'init'), 0o755);
  const image = join(directory, 'initrd');
  await runOk('/bin/sh', ['-c', 'find . -print0 | cpio --null --quiet -o -H newc >"$1"', 'sh', image], {
    cwd: tree,
  });
  return image;
}

/** A line a module: its file, and its parameters. Throws for parameters that no module takes. */
export function moduleList({ modules, parameters }: Pick<InitrdOptions, 'modules' | 'parameters'>): string {
  const names = modules.map(moduleName);
  const lost = Object.keys(parameters).filter((name) => !names.includes(name));
  if (lost.length > 0) {
    throw new Error(
      `parameters for ${lost.join(', ')}, which the guest does not load (it loads ${names.join(' ')})`,
    );
  }
  return names.map((name) => `${name}.ko ${parameters[name] ?? ''}\n`).join('');
}

/** Copies them as `NAME.ko`: the guest's insmod reads plain modules only. */
async function placeModules({ modulesDirectory, modules }: InitrdOptions, into: string): Promise<void> {
  const compressed: string[] = [];
  for (const path of modules) {
    const suffix = path.slice(path.lastIndexOf('.ko'));
    const copy = join(into, `${moduleName(path)}${suffix}`);
    copyFileSync(join(modulesDirectory, path), copy);
    if (suffix === '.ko.xz') compressed.push(copy);
    else if (suffix !== '.ko')
      throw new Error(`${path}: a module that is compressed in a way not known here`);
  }
  if (compressed.length > 0) await runOk(tool('xz'), ['--decompress', ...compressed]);
}
