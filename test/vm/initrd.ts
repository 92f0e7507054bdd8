/** The small initial RAM disk of a QEMU guest: busybox, the modules and an init. */
import { chmodSync, copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { runOk } from '../helpers/process.js';
import { tool } from '../helpers/tools.js';

export interface InitrdOptions {
  /** Directory that module paths are relative to. */
  readonly modulesDirectory: string;
  /** In load order. */
  readonly modules: readonly string[];
  /** Parameters by module name, e.g. { nbd: 'nbds_max=4' }. */
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
  copyFileSync(tool('busybox'), join(tree, 'bin/busybox'));
  for (const path of options.modules) {
    copyFileSync(join(options.modulesDirectory, path), join(tree, 'modules', basename(path)));
  }
  const list = options.modules.map((path) => {
    const file = basename(path);
    return `${file} ${options.parameters[file.replace(/\.ko$/, '')] ?? ''}\n`;
  });
  writeFileSync(join(tree, 'modules/list'), list.join(''));
  writeFileSync(join(tree, 'init'), options.init);
  chmodSync(join(tree, 'init'), 0o755);
  const image = join(directory, 'initrd');
  await runOk('/bin/sh', ['-c', 'find . -print0 | cpio --null --quiet -o -H newc >"$1"', 'sh', image], {
    cwd: tree,
  });
  return image;
}
