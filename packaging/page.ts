/**
 * Builds the page (driver/web/page) into dist/page, compressed as it is served; part of the build. Nothing is done where
 * neither a source nor a package that it is made of has changed since: Vite takes longer than all the rest.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';

const SOURCE = 'driver/web/page';
const OUTPUT = 'dist/page';
/** What the page that is there was made of. */
const STAMP = 'dist/page.stamp';
const PACKAGES = ['vite', 'preact', 'uplot'];

const files = (directory: string): string[] =>
  readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();

function stamp(): string {
  const hash = createHash('sha256');
  for (const file of [...files(SOURCE), ...PACKAGES.map((name) => `node_modules/${name}/package.json`)]) {
    hash.update(`${file}\n`).update(readFileSync(file));
  }
  return hash.digest('hex');
}

const present = stamp();
if (!existsSync(OUTPUT) || !existsSync(STAMP) || readFileSync(STAMP, 'utf8') !== present) {
  const { build } = await import('vite');
  // Vite takes types away without a look at them.
  execFileSync(process.execPath, ['node_modules/typescript/bin/tsc', '-p', SOURCE], { stdio: 'inherit' });
  await build({
    root: SOURCE,
    configFile: join(SOURCE, 'vite.config.ts'),
    build: { outDir: join(process.cwd(), OUTPUT) },
  });
  for (const file of files(OUTPUT)) {
    const text = readFileSync(file);
    writeFileSync(`${file}.gz`, gzipSync(text, { level: 9 }));
    const quality = { [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY };
    writeFileSync(`${file}.br`, brotliCompressSync(text, { params: quality }));
  }
  writeFileSync(STAMP, present);
}
