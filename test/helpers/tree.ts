/** A directory tree to copy through a file system, and what identifies its content. */
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Makes about 200 files of 0 to 256 KiB in nested directories. */
export function makeTree(path: string): string {
  for (let index = 0; index < 200; index += 1) {
    const directory = join(path, `d${index % 7}`, `e${index % 3}`);
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, `file ${index}`), randomBytes((index * 7919) % (256 << 10)));
  }
  symlinkSync('d0/e0', join(path, 'link'));
  return path;
}

/** Checksum by path of every regular file below a directory. */
export function treeChecksums(path: string): Record<string, string> {
  const names = readdirSync(path, { recursive: true, encoding: 'utf8' }).sort();
  const files = names.filter((name) => statSync(join(path, name)).isFile());
  const digest = (name: string): string =>
    createHash('sha256')
      .update(readFileSync(join(path, name)))
      .digest('hex');
  return Object.fromEntries(files.map((name) => [name, digest(name)]));
}
