/**
 * The daemon and its tools as one archive for a guest, with the packages that they import in the same few files: in
 * software emulation, opening some hundred files takes longer than everything else.
 */
import { basename, join } from 'node:path';
import { build } from 'esbuild';
import { ENTRIES } from '../../packaging/entries.js';
import { runOk } from '../helpers/process.js';
import { TempDir } from '../helpers/temp.js';

/** Name of the archive in the shared directory. */
const ARCHIVE = 'program.tar';

/** What nothing needs at run time: a guest creates each file slowly. */
const SKIPPED = ['*.map', '*.ts', '*.md', '*.cc', '*.hh', '*.h', 'vendor', 'doc', 'musl_*'];

/** Brings a program of machine code, which is looked for in its folder. */
const NATIVE = ['koffi', '@koromix'];

/** What packages of the older kind call. */
const REQUIRE =
  "import { createRequire as makeRequire } from 'node:module'; const require = makeRequire(import.meta.url);";

/** Puts it into the directory that a guest shares. */
export async function archiveProgram(shared: TempDir): Promise<void> {
  using work = new TempDir();
  await build({
    entryPoints: ENTRIES.map((path) => join('dist/bin', basename(path))),
    outdir: work.file('dist/bin'),
    entryNames: '[name]',
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    external: NATIVE.map((name) => `${name}*`),
    banner: { js: REQUIRE },
    logLevel: 'warning',
  });
  const skipped = SKIPPED.map((pattern) => `--exclude=${pattern}`);
  const native = NATIVE.map((name) => join('node_modules', name));
  await runOk('tar', [
    ...['cf', shared.file(ARCHIVE), ...skipped, 'package.json', ...native],
    ...['-C', work.path, 'dist'],
  ]);
}

/**
 * Shell that unpacks it into memory and has the functions of `GUEST_DAEMON` use it. The share is read without a
 * cache, so in large pieces.
 */
export const USE_ARCHIVE = `
mkdir -p /run/program
tar --blocking-factor=512 -xf "$SHARED/${ARCHIVE}" -C /run/program
cp "$NODE" /run/program/node
NODE=/run/program/node NBDLOOP_PROGRAMS=/run/program/dist/bin
`;
