import t from 'tap';
import { HeldLock, HeldLocks, Scope, Task } from '../../../driver/locks/held-locks.js';

const lock = (scope: Scope): HeldLock => {
  const made = new HeldLock('loMutex', 'loop0', scope, {});
  made.state = 'held';
  return made;
};

t.test('two validators in one flow of control do not see each other', async (t) => {
  const [one, other] = [new HeldLocks(), new HeldLocks()];
  const [outer, inner] = [new Scope(new Task('outer', true)), new Scope(new Task('inner', true))];
  await one.run(outer, () =>
    other.run(inner, async () => {
      await null;
      t.equal(one.current, outer);
      t.equal(other.current, inner);
      one.exit(() => {
        t.equal(one.current, undefined);
        t.equal(other.current, inner);
      });
    }),
  );
  t.equal(one.current, undefined);
});

t.test('an acquire while another of the same scope waits is a branch of its own', (t) => {
  const locks = new HeldLocks();
  const scope = new Scope(new Task('parent', true));
  locks.run(scope, () => {
    const kept = lock(scope);
    const waiting = new HeldLock('openMutex', 'loop0', locks.forAcquire(), {});
    const branch = locks.forAcquire();
    t.not(branch, scope);
    t.equal(branch.task, scope.task);
    t.same(branch.held(), [kept]);
    waiting.state = 'held';
    t.same(branch.held(), [kept], 'what the sibling gets later is not its own');
    t.equal(locks.forAcquire(), branch);
  });
  t.end();
});

t.test('what was inherited and is released is not held any more', (t) => {
  const parent = new Scope(new Task('parent', true));
  const kept = lock(parent);
  const child = new Scope(new Task('child', true), parent);
  t.same(child.held(), [kept]);
  kept.forget();
  t.same(child.held(), []);
  t.same([...parent.task.locks], []);
  t.end();
});
