import t from 'tap';
import { Opt, Rep } from '../../../server/wire/constants.js';
import { FakeExport, fakeTable } from '../../helpers/fake-exports.js';
import { handshake } from '../../helpers/handshake.js';

t.test('LIST names every export with its description, then ACK', async (t) => {
  const { client, exports } = handshake(t);
  await client.greet();
  const replies = await client.ask(Opt.LIST);
  t.same(
    replies.map(({ type }) => type),
    [Rep.SERVER, Rep.SERVER, Rep.ACK],
  );
  const [first] = replies;
  t.equal(first?.data.readUInt32BE(0), 5);
  t.equal(first?.data.subarray(4).toString(), 'loop0backing of loop0');
  t.equal(exports[0].opened, 0);
});

t.test('LIST without exports is only ACK', async (t) => {
  const { client } = handshake(t, { exports: fakeTable() });
  await client.greet();
  t.equal(await client.askOne(Opt.LIST), Rep.ACK);
});

t.test('LIST with data is ERR_INVALID', async (t) => {
  const { client } = handshake(t);
  await client.greet();
  t.equal(await client.askOne(Opt.LIST, Buffer.from('x')), Rep.ERR_INVALID);
});

t.test('a thousand exports are listed in order', async (t) => {
  const many = Array.from({ length: 1000 }, (_, number) => new FakeExport(`loop${number}`));
  const { client } = handshake(t, { exports: fakeTable(...many) });
  await client.greet();
  const replies = await client.ask(Opt.LIST);
  const names = replies.slice(0, -1).map(({ data }) => data.toString('utf8', 4, 4 + data.readUInt32BE(0)));
  t.same(
    names,
    many.map(({ name }) => name),
  );
});
