import t, { type Test } from 'tap';
import { PollSet } from '../../../server/system/poll-set.js';
import {
  addressOf,
  closePipe,
  openPipe,
  type Pipe,
  POLLIN,
  POLLOUT,
  write,
} from '../../../server/system/sockets.js';

const BYTE = Buffer.from(new ArrayBuffer(8));

const opened = (t: Test): Pipe => {
  const pipe = openPipe(4096);
  if (pipe === undefined) throw new Error('no pipe');
  t.teardown(() => closePipe(pipe));
  return pipe;
};

t.test('what is ready is told by its place', async (t) => {
  const polls = new PollSet();
  const [empty, full] = [opened(t), opened(t)];
  write(full.writeEnd, addressOf(BYTE), 1);
  polls.set(0, empty.readEnd, POLLIN);
  polls.set(1, full.readEnd, POLLIN);
  polls.set(2, -1, 0);
  polls.set(3, empty.writeEnd, POLLOUT);
  t.equal(polls.wait(4, 0), 2);
  t.strictSame(
    [0, 1, 2, 3].map((index) => polls.isReady(index)),
    [false, true, false, true],
  );
  polls.set(1, empty.readEnd, POLLIN);
  t.equal(polls.wait(3, 0), 0, 'an entry that was set again starts anew');
  t.notOk(polls.isReady(1));
});

t.test('it grows, and keeps what it holds', async (t) => {
  const polls = new PollSet();
  const [empty, full] = [opened(t), opened(t)];
  write(full.writeEnd, addressOf(BYTE), 1);
  const count = 1000;
  for (let index = 0; index < count; index++) {
    polls.set(index, index % 100 === 7 ? full.readEnd : empty.readEnd, POLLIN);
  }
  t.equal(polls.wait(count, 0), 10);
  const ready = Array.from({ length: count }, (_, index) => index).filter((index) => polls.isReady(index));
  t.ok(ready.every((index) => index % 100 === 7));
});

t.test('a peer that hung up is ready', async (t) => {
  const polls = new PollSet();
  const pipe = openPipe(4096);
  if (pipe === undefined) throw new Error('no pipe');
  const reader = opened(t);
  polls.set(0, reader.readEnd, POLLIN);
  polls.set(1, pipe.readEnd, POLLIN);
  closePipe(pipe);
  t.equal(polls.wait(2, 0), 1, 'also a descriptor that is closed is told, and not waited for');
  t.ok(polls.isReady(1));
});
