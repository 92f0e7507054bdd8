import t from 'tap';
import { chainText, reportText, type Untold } from '../../../driver/locks/render.js';
import type { LockSiteJson } from '../../../driver/locks/snapshot.js';

const site = (lockClass: string, name: string, task: string): LockSiteJson => ({
  lockClass,
  name,
  task,
  stack: [`at take (${lockClass}.ts:1:1)`, `at ${task} (task.ts:2:2)`],
});

const CIRCULAR: Untold = {
  kind: 'circular',
  message: 'a sentence',
  chain: ['T', 'O', 'L'],
  kernelChain: ['t', 'o', 'l'],
  subject: site('L', 'loop0', 'resume (#3)'),
  conflict: site('O', 'loop0', 'resume (#3)'),
  held: [site('T', 'machine', 'resume (#3)'), site('O', 'loop0', 'resume (#3)')],
  links: [
    { from: 'L', to: 'T', source: 'wait', stack: [] },
    { from: 'T', to: 'O', source: 'seen', stack: ['at first (first.ts:3:3)'] },
  ],
  count: 1,
};

t.test('a circular dependency reads as lockdep prints it', (t) => {
  t.equal(
    reportText(CIRCULAR),
    `======================================================
WARNING: possible circular locking dependency detected
------------------------------------------------------
resume (#3) is trying to acquire:
  (L) loop0, at:
       at take (L.ts:1:1)
       at resume (#3) (task.ts:2:2)

but the task already holds:
  (O) loop0, acquired by resume (#3) at:
       at take (O.ts:1:1)
       at resume (#3) (task.ts:2:2)

which already depends on the new lock.
The existing dependency chain (in reverse order):

-> #1 T -> O: first seen at:
       at first (first.ts:3:3)

-> #0 L -> T: declared wait, no acquire shows it

Chain exists of:
  T -> O -> L -> T
  kernel: t -> o -> l

Possible unsafe locking scenario (this task left, others right):
  lock(O)
             lock(L), then wait(T)
             lock(T), then lock(O)
  lock(L)
  *** DEADLOCK ***

Locks held by resume (#3):
  #0:  (T) machine, at:
       at take (T.ts:1:1)
       at resume (#3) (task.ts:2:2)
  #1:  (O) loop0, at:
       at take (O.ts:1:1)
       at resume (#3) (task.ts:2:2)
======================================================`,
  );
  t.end();
});

t.test('other mistakes tell what they are, and no cycle', (t) => {
  const plain: Untold = { ...CIRCULAR, chain: ['O', 'L'], kernelChain: ['o', 'l'], links: [], held: [] };
  const titles = {
    'undeclared-edge': /^WARNING: lock order outside the declared table detected$/m,
    recursion: /^WARNING: possible recursive locking detected$/m,
    'wrong-owner': /^WARNING: lock released by a task that does not own it$/m,
    'held-at-end': /^WARNING: task ended with a lock still held$/m,
    'unbalanced-release': /^WARNING: bad unlock balance detected$/m,
  } as const;
  for (const [kind, title] of Object.entries(titles)) {
    const text = reportText({ ...plain, kind: kind as keyof typeof titles });
    t.match(text, title);
    t.match(text, /^No lock is held by resume \(#3\)\.$/m);
    t.notMatch(text, 'DEADLOCK');
    t.notMatch(text, 'dependency chain');
  }
  t.end();
});

t.test('a chain returns to its start only when it is a cycle', (t) => {
  t.equal(chainText({ kind: 'circular', chain: ['A', 'B'] }), 'A -> B -> A');
  t.equal(chainText({ kind: 'undeclared-edge', chain: ['A', 'B'] }), 'A -> B');
  t.equal(chainText({ kind: 'held-at-end', chain: ['A'] }), 'A');
  t.end();
});
