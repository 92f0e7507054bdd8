/**
 * The daemon and its tools as one archive for a guest: the few files that the build makes of them. In software emulation,
 * opening some hundred files takes longer than everything else.
 */
import { join } from 'node:path';
import { NATIVE } from '../../packaging/entries.js';
import { runOk } from '../helpers/process.js';
import type { TempDir } from '../helpers/temp.js';

/** Name of the archive in the shared directory. */
const ARCHIVE = 'program.tar';

/** What nothing needs at run time: a guest creates each file slowly. */
const SKIPPED = ['*.map', '*.ts', '*.md', '*.cc', '*.hh', '*.h', 'vendor', 'doc', 'musl_*'];

/** Puts it into the directory that a guest shares. */
export async function archiveProgram(shared: TempDir): Promise<void> {
  const skipped = SKIPPED.map((pattern) => `--exclude=${pattern}`);
  const native = NATIVE.map((name) => join('node_modules', name));
  await runOk('tar', [...['cf', shared.file(ARCHIVE), ...skipped, 'package.json', ...native], 'dist/bin']);
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
