import { EventEmitter } from 'node:events';
import t from 'tap';
import { Journal } from '../../../driver/web/journal.js';

function setUp(limit?: number) {
  const events = new EventEmitter();
  const journal = new Journal({ events }, limit);
  let sequence = 0;
  const happen = (device: number): void => {
    const status = { name: `loop${device}`, backingInode: null, backingDevice: null };
    events.emit('change', { device, kind: 'change', sequence: ++sequence, status });
  };
  return { journal, happen };
}

t.test('a reader goes on behind the id that it has', async (t) => {
  const { journal, happen } = setUp();
  for (const device of [4, 5, 6]) happen(device);
  journal.lockReport('a cycle');
  t.equal(journal.end - journal.start, 4);
  const second = journal.id(journal.start + 1);
  const next = journal.after(second);
  t.equal(next, journal.start + 2);
  t.match(journal.at(next ?? 0), { type: 'device', event: { device: 6 } });
  t.match(journal.at(journal.end - 1), { type: 'lock-report', message: 'a cycle' });
  t.equal(journal.after(journal.id(journal.end - 1)), journal.end, 'all of it is known');
});

t.test('an id of another daemon, of the future or of nobody is not ours', async (t) => {
  const { journal, happen } = setUp();
  happen(0);
  const other = setUp().journal;
  for (const id of [other.id(1), journal.id(99), '1', '', 'x.y', `${journal.epoch}.-1`]) {
    t.equal(journal.after(id), undefined, id);
  }
});

t.test('the oldest are forgotten, and positions stay what they were', async (t) => {
  const { journal, happen } = setUp(10);
  for (let device = 0; device < 100; device++) happen(device);
  t.equal(journal.end, 101);
  t.ok(journal.end - journal.start >= 10 && journal.end - journal.start <= 15, 'some are kept');
  t.match(journal.at(100), { event: { device: 99 } });
  t.match(journal.at(journal.start), { event: { device: journal.start - 1 } });
  t.equal(journal.at(journal.start - 1), undefined);
});

t.test('who follows is told of each until it does not any more', async (t) => {
  const { journal, happen } = setUp();
  let told = 0;
  const unfollow = journal.follow(() => told++);
  happen(1);
  journal.lockReport('x');
  unfollow();
  happen(2);
  t.equal(told, 2);
});
