import fc from 'fast-check';
import t from 'tap';
import { LoopError } from '../../../driver/errno.js';
import { Info, Opt, Rep, TransmissionFlag } from '../../../server/wire/constants.js';
import { FakeExport, fakeTable } from '../../helpers/fake-exports.js';
import { contextData, handshake, infoData, option, text, u16 } from '../../helpers/handshake.js';

t.test('GO says INFO_EXPORT, ACK, and enters transmission with nothing behind the ACK', async (t) => {
  for (const flags of [1, 3]) {
    const { client, outcome, exports } = handshake(t);
    await client.greet(flags);
    const [about, ack, ...more] = await client.ask(Opt.GO, infoData('loop1'));
    t.match(about, { option: Opt.GO, type: Rep.INFO });
    t.equal(about?.data.length, 12);
    t.equal(about?.data.readBigUInt64BE(2), 0x123456000n);
    t.match(ack, { option: Opt.GO, type: Rep.ACK, data: { length: 0 } });
    t.same(more, []);
    t.match(await outcome, { kind: 'transmission', blockSizesNegotiated: false, contexts: [] });
    t.equal(client.unread.length, 0);
    t.equal(exports[1].opened, 1);
    t.equal(exports[1].released, 0);
  }
});

t.test('items asked for are answered once each, unknown ones are ignored', async (t) => {
  const { client, outcome } = handshake(t);
  await client.greet();
  const items = [Info.BLOCK_SIZE, 77, Info.NAME, Info.DESCRIPTION, Info.NAME, Info.EXPORT];
  const replies = await client.ask(Opt.GO, infoData('', items));
  const infos = replies.slice(0, -1).map(({ data }) => data);
  t.same(infos.map((data) => data.readUInt16BE(0)).sort(), [0, 1, 2, 3]);
  const item = (type: number) => infos.find((data) => data.readUInt16BE(0) === type)?.subarray(2);
  t.equal(item(Info.NAME)?.toString(), 'loop0', 'the canonical name of the default export');
  t.equal(item(Info.DESCRIPTION)?.toString(), 'backing of loop0');
  t.equal(item(Info.BLOCK_SIZE)?.toString('hex'), '00000200' + '00001000' + '02000000');
  t.match(await outcome, { blockSizesNegotiated: true });
});

t.test('INFO says what GO would, opens nothing, and options go on', async (t) => {
  const { client, exports } = handshake(t);
  await client.greet();
  const request = infoData('loop1', [Info.NAME, Info.BLOCK_SIZE]);
  const told = (await client.ask(Opt.INFO, request)).map(({ type, data }) => [type, data.toString('hex')]);
  t.equal(exports[1].opened, 0);
  const entered = (await client.ask(Opt.GO, request)).map(({ type, data }) => [type, data.toString('hex')]);
  t.same(told, entered);
});

t.test('an INFO that asked for block sizes commits to nothing', async (t) => {
  const { client, outcome } = handshake(t);
  await client.greet();
  await client.ask(Opt.INFO, infoData('loop0', [Info.BLOCK_SIZE]));
  await client.ask(Opt.GO, infoData('loop0'));
  t.match(await outcome, { blockSizesNegotiated: false });
});

t.test('an unknown export is ERR_UNKNOWN with a sentence, and the client may try another', async (t) => {
  const { client, outcome } = handshake(t);
  await client.greet();
  for (const number of [Opt.INFO, Opt.GO]) {
    const replies = await client.ask(number, infoData('loop7'));
    t.match(replies, [{ option: number, type: Rep.ERR_UNKNOWN }]);
    t.equal(replies.length, 1, 'no INFO before the error');
    t.match(replies[0]?.data.toString(), /loop7/);
  }
  t.equal((await client.ask(Opt.GO, infoData('loop0'))).at(-1)?.type, Rep.ACK);
  t.equal((await outcome).kind, 'transmission');
});

t.test('without any export the default one is unknown', async (t) => {
  const { client } = handshake(t, { exports: fakeTable() });
  await client.greet();
  t.equal(await client.askOne(Opt.GO, infoData('')), Rep.ERR_UNKNOWN);
});

t.test(
  'an export that refuses to open is ERR_UNKNOWN with its sentence, and the handshake goes on',
  async (t) => {
    const { client, exports } = handshake(t);
    exports[0].refusal = new LoopError('ENXIO', 'loop0 is being removed');
    await client.greet();
    const [reply] = await client.ask(Opt.GO, infoData('loop0'));
    t.equal(reply?.type, Rep.ERR_UNKNOWN);
    t.equal(reply?.data.toString(), 'loop0 is being removed');
    t.equal((await client.ask(Opt.GO, infoData('loop1'))).at(-1)?.type, Rep.ACK);
  },
);

t.test('our own bug in an export ends the handshake with that bug', async (t) => {
  const { client, exports, outcome } = handshake(t);
  exports[0].refusal = new TypeError('a bug');
  await client.greet();
  client.send(option(Opt.GO, infoData('loop0')));
  await t.rejects(outcome, { message: 'a bug' });
});

t.test('malformed data is ERR_INVALID', async (t) => {
  const good = infoData('loop0', [Info.BLOCK_SIZE]);
  const bad = [
    Buffer.alloc(0),
    text('loop0'),
    good.subarray(0, -1),
    Buffer.concat([good, u16(0)]),
    infoData('n'.repeat(4097)),
    infoData('a\0b'),
  ];
  const { client, exports } = handshake(t);
  await client.greet();
  for (const data of bad) {
    for (const number of [Opt.INFO, Opt.GO]) {
      t.equal(await client.askOne(number, data), Rep.ERR_INVALID, `${number} with ${data.length} bytes`);
    }
  }
  t.equal(exports[0].opened, 0);
});

t.test('bytes behind the option travel along as leftover', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 40_000 }), async (bytes) => {
      const { client, outcome } = handshake(t);
      await client.greet();
      client.send(option(Opt.GO, infoData('loop0')), Buffer.from(bytes));
      const ending = await outcome;
      return ending.kind === 'transmission' && ending.leftover.equals(Buffer.from(bytes));
    }),
    { numRuns: 20 },
  );
});

t.test('BLOCK_STATUS_PAYLOAD is offered with extended headers and a selected context only', async (t) => {
  const { BLOCK_STATUS_PAYLOAD } = TransmissionFlag;
  const cases = [
    { mode: Opt.EXTENDED_HEADERS, queries: ['base:allocation'], go: 'loop0', isOffered: true },
    { mode: Opt.EXTENDED_HEADERS, queries: ['base:allocation'], go: 'loop1', isOffered: false },
    { mode: Opt.EXTENDED_HEADERS, queries: [], go: 'loop0', isOffered: false },
    { mode: Opt.STRUCTURED_REPLY, queries: ['base:allocation'], go: 'loop0', isOffered: false },
  ];
  for (const { mode, queries, go, isOffered } of cases) {
    const { client } = handshake(t);
    await client.greet();
    await client.ask(mode);
    await client.ask(Opt.SET_META_CONTEXT, contextData('loop0', queries));
    for (const number of [Opt.INFO, Opt.GO]) {
      const [reply] = await client.ask(number, infoData(go));
      const flags = reply?.data.readUInt16BE(10) ?? 0;
      t.equal((flags & BLOCK_STATUS_PAYLOAD) !== 0, isOffered, JSON.stringify({ mode, queries, go, number }));
    }
  }
});

t.test('transmission flags tell what the export and the listener can do', async (t) => {
  const { READ_ONLY, SEND_TRIM, SEND_WRITE_ZEROES, SEND_FAST_ZERO, SEND_DF } = TransmissionFlag;
  const always =
    TransmissionFlag.HAS_FLAGS |
    TransmissionFlag.SEND_FLUSH |
    TransmissionFlag.SEND_FUA |
    TransmissionFlag.CAN_MULTI_CONN |
    TransmissionFlag.SEND_CACHE;
  const writable = SEND_TRIM | SEND_WRITE_ZEROES;
  const cases = [
    { about: {}, readOnly: false, modes: [], flags: always | writable | SEND_FAST_ZERO },
    { about: { fastZero: false }, readOnly: false, modes: [], flags: always | writable },
    { about: { readOnly: true }, readOnly: false, modes: [], flags: always | READ_ONLY },
    { about: {}, readOnly: true, modes: [], flags: always | READ_ONLY },
    {
      about: { fastZero: false },
      readOnly: false,
      modes: [Opt.STRUCTURED_REPLY],
      flags: always | writable | SEND_DF,
    },
    {
      about: { readOnly: true },
      readOnly: true,
      modes: [Opt.EXTENDED_HEADERS],
      flags: always | READ_ONLY | SEND_DF,
    },
  ];
  for (const { about, readOnly, modes, flags } of cases) {
    const { client, outcome } = handshake(t, {
      exports: fakeTable(new FakeExport('loop0', about)),
      readOnly,
    });
    await client.greet();
    for (const mode of modes) await client.ask(mode);
    const [reply] = await client.ask(Opt.GO, infoData('loop0'));
    t.equal(reply?.data.readUInt16BE(10), flags, JSON.stringify({ about, readOnly, modes }));
    t.match(await outcome, { transmissionFlags: flags });
  }
});
