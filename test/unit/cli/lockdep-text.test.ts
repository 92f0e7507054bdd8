import t from 'tap';
import { lockdepDot, lockdepText } from '../../../driver/cli/lockdep-text.js';
import { LockOrder } from '../../../driver/locks/lock-order.js';
import { OrderedMutex } from '../../../driver/locks/mutex.js';
import type { LockdepSnapshot } from '../../../driver/locks/snapshot.js';

/** As it comes from the control API. */
const overTheWire = (order: LockOrder): LockdepSnapshot => JSON.parse(JSON.stringify(order.snapshot()));

async function mistaken(): Promise<LockdepSnapshot> {
  const order = new LockOrder();
  const openMutex = new OrderedMutex(order, 'openMutex', 'loop0');
  const loMutex = new OrderedMutex(order, 'loMutex', 'loop0');
  for (let i = 0; i < 2; i++) {
    await order.task('open loop0', () => openMutex.runExclusive(() => loMutex.runExclusive(() => {})));
  }
  return order.task('holder', async () => {
    using _held = await loMutex.acquire();
    return overTheWire(order);
  });
}

t.test('text: classes, edges with counts, who holds what now, and the reports in full', async (t) => {
  const text = lockdepText(await mistaken());
  t.match(text, /^ {2}CLASS +ACQUIRES +CONTENDED +HELD +WAITING +KERNEL +GUARDS$/m);
  t.match(text, /^ {2}loMutex +3 +0 +1 +0 +lo->lo_mutex +a device's state/m);
  t.match(text, /^ {2}openMutex -> loMutex +2 +UNDECLARED, REPORTED +open loop0 \(#\d+\) at /m);
  t.match(text, /^ {2}freeze -> systemTransitionMutex +0 +waits for I\/O +-$/m);
  t.match(text, /^ {2}loMutex +loop0 +held +\d+ ms +holder \(#\d+\) +at /m);
  t.match(text, /^Reports: 1$/m);
  t.match(text, 'WARNING: possible circular locking dependency detected');
  t.match(text, /^\(seen 2 times\)$/m);
});

t.test('text of a validator that has seen nothing', (t) => {
  const text = lockdepText(overTheWire(new LockOrder()));
  t.match(text, /^Held or waited for now: none$/m);
  t.match(text, /^Reports: none$/m);
  t.match(text, /^ {2}validateMutex -> loMutex +0 +declared +-$/m);
  t.end();
});

t.test('dot: a node for every class, an edge for every edge, told apart by style', async (t) => {
  const snapshot = await mistaken();
  const lines = lockdepDot(snapshot).trimEnd().split('\n');
  t.equal(lines[0], 'digraph lockdep {');
  t.equal(lines.at(-1), '}');
  t.equal(lines.filter((line) => line.includes('[label=')).length, snapshot.classes.length);
  t.equal(lines.filter((line) => line.includes('" -> "')).length, snapshot.edges.length);
  t.ok(lines.includes('  "openMutex" -> "loMutex" [color="red" penwidth="2" label="2 (reported)"];'));
  t.ok(lines.includes('  "validateMutex" -> "loMutex" [style="dashed" label="0"];'));
  t.ok(lines.includes('  "freeze" -> "systemTransitionMutex" [style="dotted" label="waits for I/O"];'));
  t.ok(lines.includes(String.raw`  "openMutex" [label="openMutex\ndisk->open_mutex"];`));
});
