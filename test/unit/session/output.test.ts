import t from 'tap';
import { Output, type Sink } from '../../../server/session/output.js';

/** Takes everything, or keeps it when told to. */
class Collector implements Sink {
  readonly taken: Buffer[] = [];
  isFull = false;
  flush(out: Output): boolean {
    this.taken.push(Buffer.from(out.bytes.subarray(0, out.length)));
    return !this.isFull;
  }
}

const put = (out: Output, text: string): void => {
  out.bytes.set(Buffer.from(text), out.length);
  out.length += text.length;
};

t.test('replies are collected until there is no room', async (t) => {
  const out = new Output(16);
  const sink = new Collector();
  out.begin(sink);
  for (const text of ['12345678', 'abcdefgh', 'more']) {
    t.ok(out.room(text.length));
    put(out, text);
  }
  t.strictSame(sink.taken.map(String), ['12345678abcdefgh']);
  t.ok(out.flush());
  t.strictSame(sink.taken.map(String), ['12345678abcdefgh', 'more']);
  t.equal(out.length, 0);
  t.ok(out.flush(), 'nothing to send is sent');
  t.equal(sink.taken.length, 2);
});

t.test('a reply that is larger borrows memory, and gives it back when it is sent', async (t) => {
  const out = new Output(16);
  const sink = new Collector();
  out.begin(sink);
  put(out, 'first');
  const { address } = out;
  t.ok(out.room(1000));
  t.not(out.address, address);
  t.ok(out.bytes.length >= 1000);
  put(out, 'x'.repeat(1000));
  out.flush();
  t.equal(out.address, address, 'the memory of the beginning');
  t.strictSame(
    sink.taken.map(({ length }) => length),
    [5, 1000],
  );
});

t.test('there is no room while the peer does not take what it was sent', async (t) => {
  const out = new Output(16);
  const sink = new Collector();
  out.begin(sink);
  sink.isFull = true;
  put(out, 'sixteen bytes!!!');
  t.notOk(out.room(1));
  t.strictSame(sink.taken.map(String), ['sixteen bytes!!!'], 'it was handed over once');
  t.equal(out.length, 0);
});
