import t from 'tap';
import { LoopError } from '../../../driver/errno.js';
import { Course } from '../../../driver/remote/course.js';
import { NEXT, next, type RemoteState, type Signal } from '../../../driver/remote/states.js';

const STATES = Object.keys(NEXT) as RemoteState[];
const SIGNALS: readonly Signal[] = ['agreed', 'failed', 'died', 'due', 'refused'];

t.test('every state but the last can be left, and every state can be reached', async (t) => {
  for (const state of STATES) {
    const ways = Object.values(NEXT[state]);
    t.equal(ways.length === 0, state === 'given-up', state);
  }
  const reached = new Set<RemoteState>(['negotiating']);
  for (const state of reached) for (const way of Object.values(NEXT[state])) reached.add(way);
  t.strictSame([...reached].sort(), [...STATES].sort());
});

t.test('the kernel has live sockets in one state only, and gets them in one way only', async (t) => {
  const ways = STATES.flatMap((state) =>
    SIGNALS.map((signal) => [state, signal, NEXT[state][signal]] as const),
  );
  t.strictSame(
    ways.filter(([, , to]) => to === 'attached'),
    [['negotiating', 'agreed', 'attached']],
  );
});

t.test('a signal that a state can not get is a bug', async (t) => {
  t.throws(() => next('attached', 'agreed'), /attached got agreed/);
  t.throws(() => next('given-up', 'due'), /given-up got due/);
  t.equal(next('waiting', 'due'), 'negotiating');
});

t.test('the steps of a device are told, with their reason, and how long it was away', async (t) => {
  let now = 1_000_000;
  const course = new Course('negotiating', () => now);
  now += 50;
  course.step('agreed');
  now += 1000;
  course.problem = new LoopError('ENOTCONN', 'the connection is lost');
  course.step('died');
  now += 100;
  course.step('due');
  t.equal(course.awayMs, 150);
  now += 300;
  t.equal(course.awayMs, 450);
  course.problem = null;
  course.step('agreed');
  now += 5000;
  t.equal(course.awayMs, 450);
  const told = (step: { from: string; to: string; message: string | null }) => [
    step.from,
    step.to,
    step.message,
  ];
  t.strictSame(course.transitions.map(told), [
    ['negotiating', 'attached', null],
    ['attached', 'lost', 'the connection is lost'],
    ['lost', 'negotiating', 'the connection is lost'],
    ['negotiating', 'attached', null],
  ]);
  for (let round = 0; round < 20; round++)
    for (const signal of ['died', 'due', 'agreed'] as const) course.step(signal);
  t.equal(course.transitions.length, 16, 'the last ones');
  t.throws(() => course.step('refused'), /attached got refused/);
});
