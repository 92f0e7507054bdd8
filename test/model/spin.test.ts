/** The Promela model of the loop device, checked by spin: the fix holds, and whatever breaks it is found. */
import { copyFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { describeFailure, run, runOk } from '../helpers/process.js';
import { TempDir } from '../helpers/temp.js';
import { skipUnless, tool } from '../helpers/tools.js';

/** The model is not compiled: it lies in the sources. */
const MODEL = fileURLToPath(new URL('../../../test/model/loop.pml', import.meta.url));

const HANG_LIMIT_MS = 280_000;

interface Verdict {
  /** The first property that was violated, as spin words it; undefined when there is none. */
  readonly violation: string | undefined;
  readonly states: number;
  /** Values of the global variables where the counterexample ends. */
  readonly end: ReadonlyMap<string, string>;
}

/** A long search pays for an optimised build; a counterexample is found before that would be ready. */
type Build = '-O0' | '-O2';

/** Searches all interleavings of the model with this define. */
async function check(define: string, build: Build): Promise<Verdict> {
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

const skip = skipUnless('spin', 'gcc');

t.setTimeout(HANG_LIMIT_MS * 2);

const STARTS = ['unbound', 'bound', 'bound with autoclear'];

for (const [number, start] of STARTS.entries()) {
  t.test(`the fix: from ${start}, no interleaving deadlocks or breaks a property`, { skip }, async (t) => {
    const { violation, states } = await check(`START=${number}`, '-O2');
    t.equal(violation, undefined);
    t.ok(states > 100_000, `${states} states were searched`);
  });
}

t.test(
  'the first chain: lo_mutex under open_mutex deadlocks with a toggle that waits for I/O',
  { skip },
  async (t) => {
    const { violation, end } = await check('PRE_FIX_OPEN', '-O0');
    t.equal(violation, 'invalid end state');
    t.match(Object.fromEntries(end), {
      systemTransition: '1',
      openMutex: '1',
      validateMutex: '0',
      loMutex: '1',
      freezeDepth: '1',
      inFlight: '1',
    });
  },
);

t.test('the second chain: a rundown under open_mutex deadlocks with a resume', { skip }, async (t) => {
  const { violation, end } = await check('PRE_FIX_RELEASE', '-O0');
  t.equal(violation, 'invalid end state');
  t.match(Object.fromEntries(end), {
    systemTransition: '1',
    openMutex: '1',
    validateMutex: '1',
    loMutex: '1',
    state: 'RUNDOWN',
    freezeDepth: '1',
    inFlight: '1',
  });
});

/** A broken design, and the property that must notice. */
const MUTATIONS: readonly [define: string, mistake: string, property: RegExp][] = [
  ['RESUME_WAITS', 'an in-kernel opener that waits for a clear', /^invalid end state$/],
  ['CLEAR_IN_RELEASE', 'a releaser that waits for the rundown', /^invalid end state$/],
  ['NO_DRAIN', 'a rundown that does not drain', /isOpen\[using\]/],
  ['NO_STATE_CHECK', 'a request that does not look at the state', /using!=0/],
  ['STALE_FILE', 'a clear that notes the file too early', /isOpen\[taken\]/],
  ['SPLIT_CHECK', 'an await between the look at openers and the new state', /promised/],
  ['NO_THAW', 'an error path that forgets to thaw', /freezeDepth==0/],
  ['NO_FREEZE', 'a toggle that does not freeze', /dioFlag==wasDio/],
  ['FORGETFUL_CLOSE', 'a close that forgets a deferred clear', /lazy/],
];

for (const [define, mistake, property] of MUTATIONS) {
  t.test(`the model notices ${mistake}`, { skip }, async (t) => {
    const { violation } = await check(define, '-O0');
    t.match(violation, property);
  });
}
