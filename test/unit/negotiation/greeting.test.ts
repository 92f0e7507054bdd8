import t from 'tap';
import { Opt, Rep } from '../../../server/wire/constants.js';
import { handshake, option, u32 } from '../../helpers/handshake.js';

t.test('the server speaks first: NBDMAGIC, IHAVEOPT, fixed newstyle | no zeroes', async (t) => {
  const { client } = handshake(t);
  t.equal((await client.read(18)).toString('latin1'), 'NBDMAGICIHAVEOPT\0\x03');
});

t.test('the four combinations of known client flags are welcome', async (t) => {
  for (const flags of [0, 1, 2, 3]) {
    const { client, outcome } = handshake(t);
    await client.greet(flags);
    client.send(option(Opt.EXPORT_NAME, Buffer.from('loop0')));
    t.equal((await outcome).kind, 'transmission', `flags ${flags}`);
  }
});

t.test('every unknown client flag is a hang-up', async (t) => {
  for (let bit = 2; bit < 32; bit++) {
    const { client, outcome } = handshake(t);
    await client.greet(((1 << bit) | 3) >>> 0);
    t.match(await outcome, { kind: 'dropped', reason: /client flags/ }, `bit ${bit}`);
    t.equal(client.unread.length, 0);
  }
});

t.test('a client that answers in oldstyle, with a request, is hung up on', async (t) => {
  const { client, outcome } = handshake(t);
  await client.read(18);
  client.send(u32(0x25609513), Buffer.alloc(24));
  t.equal((await outcome).kind, 'dropped');
});

t.test('without fixed newstyle EXPORT_NAME works', async (t) => {
  const { client, outcome } = handshake(t);
  await client.greet(0);
  client.send(option(Opt.EXPORT_NAME, Buffer.from('loop1')));
  t.equal((await client.read(134)).readUInt16BE(8) & 1, 1, 'HAS_FLAGS');
  t.match(await outcome, { kind: 'transmission', mode: 'simple', contexts: [] });
});

t.test('without fixed newstyle every other option is a hang-up', async (t) => {
  for (const number of [Opt.ABORT, Opt.LIST, Opt.STARTTLS, Opt.INFO, Opt.GO, 12345]) {
    const { client, outcome, exports } = handshake(t);
    await client.greet(2);
    client.send(option(number));
    t.equal((await outcome).kind, 'dropped', `option ${number}`);
    t.equal(exports[0].opened, 0);
  }
});

t.test('an option that does not start with IHAVEOPT is a hang-up', async (t) => {
  const { client, outcome } = handshake(t);
  await client.greet();
  client.send(Buffer.from('IHAVEOPX'), u32(Opt.LIST), u32(0));
  t.match(await outcome, { kind: 'dropped', reason: /IHAVEOPT/ });
});

t.test('unknown options get UNSUP, their data is skipped, and the next option is understood', async (t) => {
  const { client } = handshake(t);
  await client.greet();
  for (const number of [0, 4, 12, 0x7fffffff, 0xffffffff]) {
    t.equal(await client.askOne(number, Buffer.from('IHAVEOPT decoy')), Rep.ERR_UNSUP, `option ${number}`);
  }
  t.equal((await client.ask(Opt.LIST)).at(-1)?.type, Rep.ACK);
});

t.test('ABORT is acknowledged, whatever data comes with it, and ends the session', async (t) => {
  for (const data of [Buffer.alloc(0), Buffer.from('farewell')]) {
    const { client, outcome } = handshake(t);
    await client.greet();
    t.equal(await client.askOne(Opt.ABORT, data), Rep.ACK);
    t.equal((await outcome).kind, 'closed');
  }
});

t.test('ABORT from a client that does not wait for the reply is a clean end', async (t) => {
  const { client, server, outcome } = handshake(t);
  await client.greet();
  client.send(option(Opt.ABORT));
  client.stream.destroy();
  server.destroy();
  t.equal((await outcome).kind, 'closed');
});
