import { readFileSync } from 'node:fs';
import t from 'tap';
import { LoopError } from '../../../driver/errno.js';
import { askHelper, startHelper } from '../../../driver/helper/helper.js';

const NO_DISK = { disk: 'no-such-disk' };
const LONG_MS = 30_000;

const outcome = (answer: Promise<unknown>): Promise<unknown> =>
  answer.catch((error: unknown) => (error instanceof LoopError ? error.errno : error));
const users = (timeoutMs: number) =>
  askHelper('usersOf', { disk: 'no-such-disk', except: [], withinMs: 0 }, timeoutMs);

const children = (): number[] =>
  readFileSync(`/proc/self/task/${process.pid}/children`, 'latin1')
    .trim()
    .split(' ')
    .filter(Boolean)
    .map(Number);

t.test('a late answer is not waited for, and what comes after it is answered', async (t) => {
  t.equal(await outcome(users(LONG_MS)), 'ENOENT', 'what a task throws is what its caller gets');
  const [helper = 0] = children();
  process.kill(helper, 'SIGSTOP');
  t.equal(await outcome(users(100)), 'ETIMEDOUT');
  process.kill(helper, 'SIGCONT');
  t.equal(await outcome(users(LONG_MS)), 'ENOENT');
  t.strictSame(children(), [helper]);
});

t.test('one helper answers many, and one that died is replaced', async (t) => {
  startHelper();
  const [helper, ...more] = children();
  t.strictSame(more, []);
  if (helper === undefined) throw new Error('no helper runs');
  const answers = [1, 2, 3].map(() => outcome(askHelper('touchNode', NO_DISK, LONG_MS)));
  t.strictSame(await Promise.all(answers), ['ENOENT', 'ENOENT', 'ENOENT']);
  t.strictSame(children(), [helper]);
  process.kill(helper, 'SIGSTOP');
  const waiting = outcome(users(LONG_MS));
  process.kill(helper, 'SIGKILL');
  t.equal(await waiting, 'EIO');
  t.equal(await outcome(users(LONG_MS)), 'ENOENT');
  t.not(children()[0], helper);
});
