import t from 'tap';
import { DEFAULT_LIMITS } from '../../../server/negotiation/options.js';
import { Info, Opt, Rep } from '../../../server/wire/constants.js';
import { contextData, handshake, infoData, option } from '../../helpers/handshake.js';

t.test('an option over the limit is skipped and refused, and the next one is understood', async (t) => {
  const { client } = handshake(t);
  await client.greet();
  const { maxOptionBytes } = DEFAULT_LIMITS;
  const huge = Buffer.alloc(maxOptionBytes + 1, 'IHAVEOPT');
  for (const number of [Opt.LIST, Opt.GO, Opt.SET_META_CONTEXT, Opt.STARTTLS]) {
    t.equal(await client.askOne(number, huge), Rep.ERR_TOO_BIG, `option ${number}`);
  }
  t.equal(await client.askOne(4711, huge), Rep.ERR_UNSUP);
  t.equal(
    await client.askOne(Opt.GO, Buffer.alloc(maxOptionBytes)),
    Rep.ERR_INVALID,
    'at the limit it is read',
  );
  t.equal((await client.ask(Opt.GO, infoData('loop0'))).at(-1)?.type, Rep.ACK);
});

t.test('an absurd length is a hang-up before any of it is read', async (t) => {
  for (const number of [Opt.LIST, Opt.ABORT, 4711]) {
    const { client, outcome } = handshake(t);
    await client.greet();
    client.send(option(number, Buffer.alloc(0), 0xffffffff));
    t.match(await outcome, { kind: 'dropped', reason: /4294967295 bytes/ });
  }
});

t.test('skipping a long option holds a bounded part of it', async (t) => {
  const { client, server } = handshake(t);
  await client.greet();
  const piece = Buffer.alloc(64 * 1024);
  client.send(option(4711, Buffer.alloc(0), 512 * piece.length));
  let most = 0;
  for (let sent = 0; sent < 512; sent++) {
    client.send(piece);
    await new Promise(setImmediate);
    most = Math.max(most, server.readableLength);
  }
  t.match(await client.reply(), { option: 4711, type: Rep.ERR_UNSUP });
  t.ok(most <= 4 * piece.length, `${most} bytes held`);
});

t.test('a client that never stops asking is hung up on', async (t) => {
  const limits = { ...DEFAULT_LIMITS, maxOptions: 5 };
  const { client, outcome } = handshake(t, { limits });
  await client.greet();
  for (let count = 0; count < 5; count++) t.equal(await client.askOne(4711), Rep.ERR_UNSUP);
  client.send(option(4711));
  t.match(await outcome, { kind: 'dropped', reason: /more than 5 options/ });
  t.equal(client.unread.length, 0, 'the sixth is not answered');
});

t.test('behind as many options as there may be, an export can still be chosen', async (t) => {
  const limits = { ...DEFAULT_LIMITS, maxOptions: 5 };
  const { client, outcome } = handshake(t, { limits });
  await client.greet();
  for (let count = 0; count < 5; count++) await client.askOne(4711);
  t.equal((await client.ask(Opt.GO, infoData('loop0'))).at(-1)?.type, Rep.ACK);
  t.equal((await outcome).kind, 'transmission');
});

t.test('ABORT with more data than an option may have is acknowledged all the same', async (t) => {
  const { client, outcome } = handshake(t);
  await client.greet();
  t.equal(await client.askOne(Opt.ABORT, Buffer.alloc(DEFAULT_LIMITS.maxOptionBytes + 1)), Rep.ACK);
  t.equal((await outcome).kind, 'closed');
});

t.test('a name longer than the limit is ERR_INVALID, and EXPORT_NAME a hang-up', async (t) => {
  const limits = { ...DEFAULT_LIMITS, maxNameBytes: 4 };
  const { client, outcome } = handshake(t, { limits });
  await client.greet();
  await client.ask(Opt.STRUCTURED_REPLY);
  for (const number of [Opt.INFO, Opt.GO]) {
    const [reply] = await client.ask(number, infoData('loop0'));
    t.match(reply, { type: Rep.ERR_INVALID });
    t.match(reply?.data.toString(), /at most 4 bytes/);
    t.equal(await client.askOne(number, infoData('loop')), Rep.ERR_UNKNOWN, 'at the limit it is read');
  }
  for (const number of [Opt.LIST_META_CONTEXT, Opt.SET_META_CONTEXT]) {
    t.equal(await client.askOne(number, contextData('loop0', ['base:allocation'])), Rep.ERR_INVALID);
    t.equal((await client.ask(number, contextData('', ['base:allocation']))).at(-1)?.type, Rep.ACK);
  }
  client.send(option(Opt.EXPORT_NAME, Buffer.from('loop0')));
  t.match(await outcome, { kind: 'dropped', reason: /too long/ });
});

t.test('the limit of a payload is the maximum block size that is told', async (t) => {
  const limits = { ...DEFAULT_LIMITS, maxPayloadBytes: 1 << 20 };
  const { client } = handshake(t, { limits });
  await client.greet();
  const replies = await client.ask(Opt.GO, infoData('loop0', [Info.BLOCK_SIZE]));
  const sizes = replies.find(({ data }) => data.length === 14)?.data;
  t.equal(sizes?.readUInt32BE(10), 1 << 20);
});

t.test('a server that goes down refuses everything but ABORT', async (t) => {
  let draining = false;
  const { client } = handshake(t, { draining: () => draining, tls: 'optional' });
  await client.greet();
  t.equal((await client.ask(Opt.LIST)).at(-1)?.type, Rep.ACK);
  draining = true;
  for (const number of [Opt.LIST, Opt.INFO, Opt.GO, Opt.STARTTLS, Opt.STRUCTURED_REPLY, 4711]) {
    t.equal(await client.askOne(number), Rep.ERR_SHUTDOWN, `option ${number}`);
  }
  t.equal(await client.askOne(Opt.ABORT), Rep.ACK);
});

t.test('a server that goes down hangs up on EXPORT_NAME', async (t) => {
  const { client, outcome, exports } = handshake(t, { draining: () => true });
  await client.greet();
  client.send(option(Opt.EXPORT_NAME, Buffer.from('loop0')));
  t.equal((await outcome).kind, 'dropped');
  t.equal(exports[0].opened, 0);
});

t.test('a client that does not read its replies is not answered without end', async (t) => {
  const { client, server, outcome, controller } = handshake(t);
  client.stream.pause();
  client.send(Buffer.from([0, 0, 0, 3]));
  for (let count = 0; count < 3000; count++) client.send(option(Opt.LIST));
  // Every step of the server takes a few turns of the loop; it stands still when nothing moves for many.
  let queued = -1;
  for (let still = 0; still < 50; still++) {
    await new Promise(setImmediate);
    if (server.writableLength !== queued) still = 0;
    queued = server.writableLength;
  }
  t.ok(queued < 1024, `${queued} bytes of replies queued`);
  controller.abort('the handshake took too long');
  t.same(await outcome, { kind: 'closed', reason: 'the handshake took too long' });
});
