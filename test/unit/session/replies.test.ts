import t from 'tap';
import { Output } from '../../../server/session/output.js';
import { Replies } from '../../../server/session/replies.js';
import { ReplyFlag } from '../../../server/wire/constants.js';

const TO = { cookieHigh: 0, cookieLow: 7, offsetHigh: 0, offsetLow: 0 };
const MODES = ['simple', 'structured', 'extended'] as const;

/** Replies, and the bytes that were sent of them. */
function bench(mode: (typeof MODES)[number]) {
  const out = new Output(1 << 16);
  const sent: Buffer[] = [];
  const take = ({ bytes, length }: Output): boolean => {
    sent.push(Buffer.from(bytes.subarray(0, length)));
    return true;
  };
  const begin = (): void => out.begin({ flush: take });
  begin();
  return { out, replies: new Replies(mode, out), sent, begin };
}

for (const mode of MODES) {
  t.test(`${mode}: data may come in pieces, and goes out with its header`, async (t) => {
    const { out, replies, sent } = bench(mode);
    replies.data(TO, 0, 8192, true);
    t.ok(replies.isOwing);
    replies.follow(4096);
    t.ok(out.flush());
    replies.follow(4096);
    t.notOk(replies.isOwing);
    replies.plain(TO, 0);
    t.ok(out.flush());
    t.equal(out.fault, '');
    t.equal(sent[0]?.length, replies.dataHeaderBytes + 4096);
  });

  t.test(`${mode}: nothing is sent between a header and the end of its data`, async (t) => {
    const others: Readonly<Record<string, (replies: Replies) => void>> = {
      'a plain reply': (replies) => replies.plain(TO, 0),
      'an error': (replies) => replies.plain(TO, 5),
      'a reply in the form it was begun in': (replies) => replies.plainAsBegun(TO, 5),
      'other data': (replies) => replies.data(TO, 0, 512, true),
      ...(mode === 'simple'
        ? {}
        : {
            'the end of a reply': (replies: Replies) => replies.end(TO, 0),
            'a hole': (replies: Replies) => replies.hole(TO, 0, 512, true),
            extents: (replies: Replies) => void replies.extents(TO, 1, 1, true),
          }),
    };
    for (const [name, write] of Object.entries(others)) {
      const { out, replies, sent, begin } = bench(mode);
      replies.data(TO, 0, 8192, true);
      replies.follow(4096);
      t.ok(out.flush());
      write(replies);
      t.not(out.fault, '', name);
      t.notOk(out.room(1), 'nothing is added');
      t.notOk(out.flush(), 'nothing is sent');
      t.notOk(out.sendAhead(), 'not even its beginning');
      t.equal(sent.length, 1);
      begin();
      t.equal(out.fault, '', 'the next connection is not touched');
    }
  });

  t.test(`${mode}: no more data than its header announced`, async (t) => {
    const { out, replies, sent } = bench(mode);
    replies.data(TO, 0, 4096, true);
    replies.follow(8192);
    t.not(out.fault, '');
    t.notOk(out.flush());
    t.strictSame(sent, []);
  });
}

t.test('a header in every form says whether it is the last', async (t) => {
  const { out, replies } = bench('structured');
  replies.data(TO, 0, 512, false);
  t.equal(out.view.getUint16(4), 0);
  replies.follow(512);
  const at = out.length;
  replies.data(TO, 512, 512, true);
  t.equal(out.view.getUint16(at + 4), ReplyFlag.DONE);
});
