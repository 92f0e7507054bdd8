import t from 'tap';
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
