/** The order of locks before the fix is reported, chain by chain; the real device has nothing to report. */
import t from 'tap';
import { LockOrder } from '../../driver/locks/lock-order.js';
import { OrderedMutex } from '../../driver/locks/mutex.js';
import type { LoopDevice } from '../../driver/loop/loop-device.js';
import { openDataPath } from '../../driver/queue/queue-rq.js';
import { checkedLockOrder } from '../helpers/lockdep.js';
import { LoopBench } from '../helpers/loop-bench.js';
import { CountsUnderLoMutex, RundownUnderOpenMutex, type ScenarioDevice } from './pre-fix-devices.js';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Enough turns for every step that waits for nothing. */
async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await turn();
}

interface Outcome {
  /** Whether the resume got through while I/O was stuck. */
  readonly resumed: boolean;
}

/**
 * The thread's scenario: a request is in flight, a direct I/O toggle freezes and so waits for it, and the resume of
 * the machine opens and closes the device with system_transition_mutex held. On a real machine the request would
 * complete only after the resume; here it completes at the end, so that even a deadlock comes apart.
 */
async function scenario(order: LockOrder, device: ScenarioDevice): Promise<Outcome> {
  const systemTransitionMutex = new OrderedMutex(order, 'systemTransitionMutex', 'machine');
  const dataPath = openDataPath(0).attach(device.queue.shared);
  let resumed = false;
  if (!dataPath.enter()) throw new Error('The device is frozen at the start.');
  const toggle = order.task('set_dio', () => device.toggle());
  while (device.queue.freezeDepth === 0) await turn();
  const resume = order.task('resume', async () => {
    using _transition = await systemTransitionMutex.acquire();
    await device.open();
    await device.release();
    resumed = true;
  });
  await settle();
  const outcome = { resumed };
  dataPath.exit();
  await Promise.all([toggle, resume]);
  return outcome;
}

t.test('open and release that take loMutex under openMutex: the first chain, and nothing else', async (t) => {
  const order = new LockOrder();
  const { resumed } = await scenario(order, new CountsUnderLoMutex(order, 'loop0'));
  t.equal(resumed, false, 'the resume waits for I/O that waits for the resume');
  t.equal(order.reports.length, 1);
  const [report] = order.reports;
  t.equal(report?.kind, 'circular');
  t.equal(report?.count, 2, 'open and release');
  t.same(report?.chain, ['systemTransitionMutex', 'openMutex', 'loMutex', 'freeze']);
  t.match(report?.text, /possible circular locking dependency detected/);
  t.match(
    report?.text,
    'system_transition_mutex -> disk->open_mutex -> lo->lo_mutex -> freeze (waits for I/O)',
  );
  t.match(report?.subject, { lockClass: 'loMutex', name: 'loop0', task: /^resume / });
  t.match(report?.subject.stack.join('\n'), /CountsUnderLoMutex.*pre-fix-devices/);
  t.match(report?.conflict, { lockClass: 'openMutex', name: 'loop0', task: /^resume / });
  t.match(report?.conflict?.stack.join('\n'), /CountsUnderLoMutex.*pre-fix-devices/);
});

t.test('a rundown under openMutex: the second chain, and nothing else', async (t) => {
  const order = new LockOrder();
  const { resumed } = await scenario(order, new RundownUnderOpenMutex(order, 'loop0'));
  t.equal(resumed, false);
  t.equal(order.reports.length, 1);
  const [report] = order.reports;
  t.equal(report?.kind, 'circular');
  t.same(report?.chain, ['systemTransitionMutex', 'openMutex', 'validateMutex', 'loMutex', 'freeze']);
  t.match(
    report?.text,
    'system_transition_mutex -> disk->open_mutex -> loop_validate_mutex -> lo->lo_mutex -> freeze (waits for I/O)',
  );
  t.match(report?.subject.stack.join('\n'), /rundown.*pre-fix-devices/);
});

t.test('both devices under one validator: exactly the two chains', async (t) => {
  const order = new LockOrder();
  await scenario(order, new CountsUnderLoMutex(order, 'loop0'));
  await scenario(order, new RundownUnderOpenMutex(order, 'loop1'));
  t.same(
    order.reports.map(({ chain }) => chain.join(' -> ')),
    [
      'systemTransitionMutex -> openMutex -> loMutex -> freeze',
      'systemTransitionMutex -> openMutex -> validateMutex -> loMutex -> freeze',
    ],
  );
});

const real = (device: LoopDevice): ScenarioDevice => ({
  queue: device.queue,
  open: () => device.loOpen({ deferred: false }),
  release: () => device.loRelease({ deferred: false }),
  // Either way: where the file system takes no direct I/O the toggle is refused after the freeze.
  toggle: () =>
    device.loopSetDio(!device.snapshot().directIo).catch((error: { errno?: string }) => {
      if (error.errno !== 'EINVAL') throw error;
    }),
});

for (const autoclear of [false, true]) {
  const kind = autoclear ? 'whose last close clears it' : 'that stays bound';
  t.test(`the real device, ${kind}: the resume gets through, nothing is reported`, async (t) => {
    const order = checkedLockOrder(t);
    await using bench = new LoopBench({ order });
    const device = await bench.bound({ autoclear });
    const { resumed } = await scenario(order, real(device));
    t.equal(resumed, true, 'while the request was still in flight');
    if (autoclear) while (device.state !== 'unbound') await turn();
    t.equal(device.state, autoclear ? 'unbound' : 'bound');
    t.same(order.reports, []);
    const seen = order.snapshot().edges.filter(({ count }) => count > 0);
    t.ok(seen.some(({ from, to }) => from === 'systemTransitionMutex' && to === 'openMutex'));
    t.ok(seen.some(({ from, to }) => from === 'loMutex' && to === 'freeze'));
    t.ok(seen.every(({ kind }) => kind === 'declared'));
  });
}
