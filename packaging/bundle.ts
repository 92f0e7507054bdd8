/**
 * Puts the programs, what their threads run, and the packages that they import into few files: Node takes longer to open a
 * hundred modules than to do all the rest of a start. Part of the build; koffi, which brings machine code, stays what it is.
 *
 * All outputs lie in one directory, as deep as `dist/driver`, so that a module finds its neighbours by URL in either.
 */
import { rmSync } from 'node:fs';
import { build } from 'esbuild';
import { ENTRIES, NATIVE, REQUIRE } from './entries.js';

const OUTPUT = 'dist/bin';

// Names of shared parts have a hash in them: those of an earlier build would stay.
rmSync(OUTPUT, { recursive: true, force: true });
await build({
  entryPoints: ENTRIES.map((path) => `dist/${path}`),
  outdir: OUTPUT,
  entryNames: '[name]',
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  external: NATIVE.map((name) => `${name}*`),
  banner: { js: REQUIRE },
  sourcemap: true,
  logLevel: 'warning',
});
