import t from 'tap';
import { LOOP_LOCK_RULES, type LockClass } from '../../../driver/locks/lock-classes.js';
import { LockOrder } from '../../../driver/locks/lock-order.js';

/** Acquires the classes one inside the other, each as its own instance, and releases them. */
function nest(order: LockOrder, classes: readonly LockClass[]): void {
  order.task(classes.join(' > '), () => {
    const held = classes.map((lockClass) => {
      const acquisition = order.acquiring(lockClass, 'loop0');
      acquisition.acquired();
      return acquisition;
    });
    for (const acquisition of held.reverse()) acquisition.released();
  });
}

const ALL = Object.keys(LOOP_LOCK_RULES.classes) as LockClass[];

t.test('the declared order is accepted', (t) => {
  const order = new LockOrder();
  nest(order, ['ctlMutex']);
  nest(order, ['openMutex']);
  nest(order, ['freeze']);
  nest(order, ['systemTransitionMutex', 'openMutex']);
  nest(order, ['validateMutex', 'loMutex', 'freeze']);
  nest(order, ['loMutex', 'freeze']);
  t.same(order.reports, []);
  t.end();
});

t.test('every other pair is a report', (t) => {
  const declared = new Set(['systemTransitionMutex openMutex', 'validateMutex loMutex', 'loMutex freeze']);
  for (const outer of ALL) {
    for (const inner of ALL) {
      const order = new LockOrder();
      nest(order, [outer, inner]);
      t.equal(order.reports.length, declared.has(`${outer} ${inner}`) ? 0 : 1, `${outer} -> ${inner}`);
      if (outer === inner) t.equal(order.reports[0]?.kind, 'recursion');
    }
  }
  t.end();
});

t.test('loMutex under openMutex is the first chain of the thread, before any freeze was seen', (t) => {
  const order = new LockOrder();
  nest(order, ['openMutex', 'loMutex']);
  t.match(order.reports, [
    {
      kind: 'circular',
      chain: ['systemTransitionMutex', 'openMutex', 'loMutex', 'freeze'],
      kernelChain: ['system_transition_mutex', 'disk->open_mutex', 'lo->lo_mutex', 'freeze (waits for I/O)'],
      subject: { lockClass: 'loMutex' },
      conflict: { lockClass: 'openMutex' },
    },
  ]);
  t.end();
});

t.test('validateMutex under openMutex is the second chain', (t) => {
  const order = new LockOrder();
  nest(order, ['openMutex', 'validateMutex', 'loMutex', 'freeze']);
  t.match(order.reports, [
    { kind: 'circular', chain: ['systemTransitionMutex', 'openMutex', 'validateMutex', 'loMutex', 'freeze'] },
  ]);
  t.equal(order.reports.length, 1, 'the edges behind it are declared');
  t.end();
});

t.test('a mutex taken while frozen is a report', (t) => {
  const order = new LockOrder();
  nest(order, ['freeze', 'loMutex']);
  t.match(order.reports, [{ kind: 'circular', chain: ['freeze', 'loMutex'] }]);
  t.end();
});

t.test('a thaw by another task is fine when it was handed off, and only the balance counts', (t) => {
  const order = new LockOrder();
  const frozen = order.task('freezer', () => {
    const acquisition = order.acquiring('freeze', 'loop0');
    acquisition.acquired();
    acquisition.handOff();
    return acquisition;
  });
  t.same(order.reports, []);
  t.match(order.snapshot().holders, [{ lockClass: 'freeze', state: 'held' }]);
  order.task('thawer', () => frozen.released());
  t.same(order.reports, []);
  order.task('thawer', () => frozen.released());
  t.match(order.reports, [{ kind: 'unbalanced-release', chain: ['freeze'], subject: { task: /^thawer / } }]);
  t.end();
});

t.test('a thaw by another task needs no hand-off while the freezer still runs', async (t) => {
  const order = new LockOrder();
  await order.task('freezer', async () => {
    const acquisition = order.acquiring('freeze', 'loop0');
    acquisition.acquired();
    await order.task('thawer', async () => acquisition.released());
    order.acquiring('openMutex', 'loop0').cancelled();
  });
  t.same(order.reports, [], 'and the freezer no longer holds it');
});

t.test('a freeze that nobody thaws is a report: at the end of its task, or handed off and forgotten', (t) => {
  const leaky = new LockOrder();
  leaky.task('freezer', () => leaky.acquiring('freeze', 'loop0').acquired());
  t.match(leaky.reports, [{ kind: 'held-at-end', chain: ['freeze'] }]);

  const forgotten = new LockOrder();
  forgotten.task('freezer', () => {
    const acquisition = forgotten.acquiring('freeze', 'loop0');
    acquisition.acquired();
    acquisition.handOff();
  });
  t.same(forgotten.reports, []);
  forgotten.expectIdle();
  t.match(forgotten.reports, [{ kind: 'held-at-end', chain: ['freeze'], subject: { task: /^freezer / } }]);
  t.end();
});
