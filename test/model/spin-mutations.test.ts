/** The Promela model, broken on purpose: spin finds the deadlocks of March 2022, and whatever else breaks the fix. */
import t from 'tap';
import { skipUnless } from '../helpers/tools.js';
import { check, HANG_LIMIT_MS } from './spin.js';

const skip = skipUnless('spin', 'gcc');

t.setTimeout(HANG_LIMIT_MS);

t.test(
  'the first chain: lo_mutex under open_mutex deadlocks with a toggle that waits for I/O',
  { skip },
  async (t) => {
    const { violation, end } = await check('PRE_FIX_OPEN', '-O1');
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
  const { violation, end } = await check('PRE_FIX_RELEASE', '-O1');
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
    const { violation } = await check(define, '-O1');
    t.match(violation, property);
  });
}
