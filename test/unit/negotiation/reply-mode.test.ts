import t from 'tap';
import { Opt, Rep } from '../../../server/wire/constants.js';
import { handshake, infoData } from '../../helpers/handshake.js';

t.test('the mode is what was agreed on last, and extended headers win', async (t) => {
  const { STRUCTURED_REPLY: S, EXTENDED_HEADERS: E } = Opt;
  const cases = [
    { asks: [], mode: 'simple' },
    { asks: [S], mode: 'structured' },
    { asks: [S, S], mode: 'structured' },
    { asks: [E], mode: 'extended' },
    { asks: [S, E], mode: 'extended' },
    { asks: [E, E], mode: 'extended' },
  ];
  for (const { asks, mode } of cases) {
    const { client, outcome } = handshake(t);
    await client.greet();
    for (const ask of asks) t.equal(await client.askOne(ask), Rep.ACK);
    await client.ask(Opt.GO, infoData('loop0'));
    t.match(await outcome, { kind: 'transmission', mode }, asks.join());
  }
});

t.test('structured replies after extended headers are ERR_EXT_HEADER_REQD, and change nothing', async (t) => {
  const { client, outcome } = handshake(t);
  await client.greet();
  await client.ask(Opt.EXTENDED_HEADERS);
  t.equal(await client.askOne(Opt.STRUCTURED_REPLY), Rep.ERR_EXT_HEADER_REQD);
  await client.ask(Opt.GO, infoData('loop0'));
  t.match(await outcome, { mode: 'extended' });
});

t.test('either option with data is ERR_INVALID, and agrees on nothing', async (t) => {
  for (const number of [Opt.STRUCTURED_REPLY, Opt.EXTENDED_HEADERS]) {
    const { client, outcome } = handshake(t);
    await client.greet();
    t.equal(await client.askOne(number, Buffer.from([0])), Rep.ERR_INVALID);
    await client.ask(Opt.GO, infoData('loop0'));
    t.match(await outcome, { mode: 'simple' });
  }
});
