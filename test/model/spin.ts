/** Runs spin on the Promela model of the loop device. */
import { copyFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describeFailure, run, runOk } from '../helpers/process.js';
import { TempDir } from '../helpers/temp.js';
import { tool } from '../helpers/tools.js';

/** The model is not compiled: it lies in the sources. */
const MODEL = fileURLToPath(new URL('../../../test/model/loop.pml', import.meta.url));

export const HANG_LIMIT_MS = 280_000;

export interface Verdict {
  /** The first property that was violated, as spin words it; undefined when there is none. */
  readonly violation: string | undefined;
  readonly states: number;
  /** Values of the global variables where the counterexample ends. */
  readonly end: ReadonlyMap<string, string>;
}

/** A long search pays for an optimised build; a counterexample is found before that would be ready. */
type Build = '-O1' | '-O2';

/** Searches all interleavings of the model with this define. */
export async function check(define: string, build: Build): Promise<Verdict> {
  using folder = new TempDir();
  const cwd = folder.path;
  copyFileSync(MODEL, folder.file('loop.pml'));
  const flags = [`-D${define}`];
  await runOk(tool('spin'), [...flags, '-a', 'loop.pml'], { cwd });
  await runOk(tool('gcc'), [build, '-w', '-DSAFETY', '-DCOLLAPSE', '-o', 'pan', 'pan.c'], { cwd });
  const searched = await run(folder.file('pan'), ['-m10000'], { cwd, timeoutMs: HANG_LIMIT_MS });
  const counts = /(\d+) states, stored/.exec(searched.stdout);
  if (counts === null || /max search depth|out of memory/.test(searched.stdout)) {
    throw new Error(describeFailure('pan', [], searched));
  }
  const violation = /^pan:1: (.*) \(at depth/m.exec(searched.stdout)?.[1];
  const trail = violation === undefined ? '' : await trailOf(flags, cwd);
  const end = [...trail.matchAll(/^\t+(\w+) = (\w+)$/gm)].map(([, name, value]): [string, string] => [
    name ?? '',
    value ?? '',
  ]);
  return { violation, states: Number(counts[1]), end: new Map(end) };
}

/** The counterexample's last state. */
const trailOf = (flags: readonly string[], cwd: string): Promise<string> =>
  run(tool('spin'), [...flags, '-t', 'loop.pml'], { cwd }).then(({ stdout }) => stdout);
