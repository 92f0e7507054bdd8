import t, { type Test } from 'tap';
import { Incoming } from '../../../server/reactor/incoming.js';
import { PendingOutput } from '../../../server/reactor/pending.js';
import { PlainTransport } from '../../../server/reactor/transport.js';
import { Input } from '../../../server/session/input.js';
import type { Memory } from '../../../server/system/buffers.js';
import { Pipes } from '../../../server/system/pipes.js';
import { Spares } from '../../../server/system/spares.js';

const KIB = 1024;
const SIZE = 64 * KIB;

const isSame = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

const pattern = (length: number, start = 0): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (start + i * 7) & 0xff);

/** Spares that have handed out one piece of memory, which is back. */
const used = (): { spares: Spares; memory: Memory } => {
  const spares = new Spares(SIZE);
  const memory = spares.take(1);
  spares.give(memory);
  return { spares, memory };
};

/** Nothing is out but what `used` had handed out, which is there again. */
const isBack = (t: Test, { spares, memory }: ReturnType<typeof used>): void => {
  t.equal(spares.take(1), memory, 'it is there again');
  t.not(spares.take(1), memory, 'once');
};

t.test('memory that was given back is taken again, and never by two', async (t) => {
  const { spares, memory } = used();
  t.equal(spares.take(SIZE), memory);
  const second = spares.take(SIZE);
  t.not(second, memory);
  t.ok(
    second.address + SIZE <= memory.address || memory.address + SIZE <= second.address,
    'not even in part',
  );
});

t.test('more than mostly suffices is made for once', async (t) => {
  const spares = new Spares(SIZE);
  const large = spares.take(SIZE + 1);
  t.ok(large.bytes.length > SIZE);
  spares.give(large);
  t.not(spares.take(SIZE + 1), large);
  t.not(spares.take(SIZE), large);
});

t.test('what many slow peers leave is not kept for ever', async (t) => {
  const spares = new Spares(SIZE);
  const taken = new Set(Array.from({ length: 30 }, () => spares.take(1)));
  for (const memory of taken) spares.give(memory);
  const again = Array.from({ length: 30 }, () => spares.take(1));
  t.equal(again.filter((memory) => taken.has(memory)).length, 8);
});

const incoming = (spares: Spares, leftover: Uint8Array) => {
  const input = new Input(1024 * KIB);
  const pipes = new Pipes();
  t.teardown(() => pipes.close());
  return { input, pipes, incoming: new Incoming(new PlainTransport(-1), { input, pipes, spares }, leftover) };
};

t.test('what was received and not served is presented again, whatever its length', async (t) => {
  const state = used();
  const { input, incoming: it } = incoming(state.spares, pattern(50 * KIB));
  let start = 0;
  for (const served of [10 * KIB, 30 * KIB, 0, 9 * KIB, 28]) {
    const end = it.present();
    t.equal(end, 50 * KIB - start);
    t.ok(isSame(input.bytes.subarray(0, end), pattern(end, start * 7)), `from ${start} on`);
    it.keepFrom(served);
    start += served;
    t.ok(isSame(it.leftover, pattern(50 * KIB - start, start * 7)));
    input.bytes.fill(0);
  }
  it.keepFrom(it.present());
  t.equal(it.present(), 0);
  t.equal(it.leftover.length, 0);
  isBack(t, state);
});

t.test('the beginning of a request takes no spare', async (t) => {
  const state = used();
  const { incoming: it } = incoming(state.spares, pattern(50 * KIB));
  it.present();
  it.keepFrom(50 * KIB - 27);
  isBack(t, state);
  t.same(it.leftover, pattern(27, (50 * KIB - 27) * 7));
});

t.test('a connection that ends gives back what it stashed', async (t) => {
  const state = used();
  const { incoming: it } = incoming(state.spares, pattern(50 * KIB));
  it.close();
  isBack(t, state);
});

t.test('what a pipe held is stashed', async (t) => {
  const state = used();
  const { input, incoming: it } = incoming(state.spares, pattern(3000));
  t.ok(it.openPipe());
  t.equal(it.leftover.length, 0);
  t.equal(it.pipe.held, 3000);
  it.spillPipe();
  t.notOk(it.pipe.isOpen);
  const end = it.present();
  t.same(input.bytes.subarray(0, end), pattern(3000));
  isBack(t, state);
});

t.test('replies that a peer never takes give their memory back when it is gone', async (t) => {
  const state = used();
  const pending = new PendingOutput(state.spares);
  pending.keepBytes(pattern(1000));
  t.notOk(pending.isEmpty);
  t.equal(pending.abandon(), undefined);
  isBack(t, state);
});
