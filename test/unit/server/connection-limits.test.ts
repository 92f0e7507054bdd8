import fc from 'fast-check';
import t from 'tap';
import { ConnectionLimits } from '../../../server/connection-limits.js';

t.test('a peer has its limit, and all together have theirs', async (t) => {
  const limits = new ConnectionLimits({ total: 3, perPeer: 2 });
  const first = limits.enter('a');
  t.ok(first && limits.enter('a'));
  t.equal(limits.enter('a'), undefined, 'the third of one peer');
  t.ok(limits.enter('b'));
  t.equal(limits.enter('c'), undefined, 'the fourth in all');
  first?.();
  t.ok(limits.enter('c'), 'who leaves makes room');
});

t.test('connections without an address count only in all', async (t) => {
  const limits = new ConnectionLimits({ total: 5, perPeer: 1 });
  for (let count = 0; count < 5; count++) t.ok(limits.enter(undefined));
  t.equal(limits.enter(undefined), undefined);
});

t.test('leaving twice counts once', async (t) => {
  const limits = new ConnectionLimits({ total: 2, perPeer: 2 });
  const leave = limits.enter('a');
  limits.enter('a');
  leave?.();
  leave?.();
  t.equal(limits.total, 1);
});

t.test('in any order of coming and going the count is who is there', async () => {
  const steps = fc.array(fc.record({ peer: fc.constantFrom('a', 'b', undefined), leave: fc.boolean() }));
  fc.assert(
    fc.property(steps, (moves) => {
      const limits = new ConnectionLimits({ total: 6, perPeer: 3 });
      const inside: { peer: string | undefined; leave: () => void }[] = [];
      for (const { peer, leave } of moves) {
        if (leave) inside.shift()?.leave();
        else {
          const fits = inside.length < 6 && (!peer || inside.filter((one) => one.peer === peer).length < 3);
          const left = limits.enter(peer);
          if ((left !== undefined) !== fits) return false;
          if (left) inside.push({ peer, leave: left });
        }
        if (limits.total !== inside.length) return false;
      }
      return true;
    }),
  );
});
