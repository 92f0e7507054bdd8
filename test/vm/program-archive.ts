/**
 * The daemon and its tools as one file for a guest: in software emulation, opening some hundred files of the host
 * takes longer than everything else.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { runOk } from '../helpers/process.js';
import type { TempDir } from '../helpers/temp.js';

/** Name of the archive in the shared directory. */
const ARCHIVE = 'program.tar';

/** What nothing needs at run time: a guest creates each file slowly. */
const SKIPPED = [
  ...['*.map', '*.ts', '*.md', '*.cc', '*.hh', '*.h', '*.yml'],
  ...['test', 'tests', 'benchmark', 'benchmarks', 'docs', 'examples', 'vendor', '.github'],
];

interface Package {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

const readPackage = (directory: string): Package =>
  JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8')) as Package;

/** Directories of everything that the package needs at run time; nested ones come with their parents. */
function runtimePackages(): string[] {
  const found = new Set<string>();
  const visit = ({ dependencies, optionalDependencies }: Package): void => {
    for (const name of Object.keys({ ...dependencies, ...optionalDependencies })) {
      const directory = join('node_modules', name);
      if (found.has(directory) || !existsSync(directory)) continue;
      found.add(directory);
      visit(readPackage(directory));
    }
  };
  visit(readPackage('.'));
  return [...found];
}

/** Puts it into the directory that a guest shares. */
export async function archiveProgram(shared: TempDir): Promise<void> {
  const skipped = SKIPPED.map((pattern) => `--exclude=${pattern}`);
  const files = ['package.json', 'dist/bin', ...runtimePackages()];
  await runOk('tar', ['cf', shared.file(ARCHIVE), ...skipped, ...files]);
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
