import t from 'tap';
import { LoopError } from '../../../driver/errno.js';
import { Opt, Rep } from '../../../server/wire/constants.js';
import { contextData, handshake, option } from '../../helpers/handshake.js';

t.test('EXPORT_NAME answers size and flags, padded unless NO_ZEROES was negotiated', async (t) => {
  for (const [flags, length] of [
    [1, 134],
    [3, 10],
  ] as const) {
    const { client, outcome, exports } = handshake(t);
    await client.greet(flags);
    client.send(option(Opt.EXPORT_NAME, Buffer.from('loop1')));
    const reply = await client.read(length);
    t.equal(reply.readBigUInt64BE(0), 0x123456000n);
    t.ok(reply.subarray(10).every((byte) => byte === 0));
    const ending = await outcome;
    t.match(ending, { kind: 'transmission', blockSizesNegotiated: false, mode: 'simple' });
    t.equal(ending.kind === 'transmission' && ending.transmissionFlags, reply.readUInt16BE(8));
    t.equal(client.unread.length, 0, 'nothing behind the reply');
    t.equal(exports[1].opened - exports[1].released, 1, 'open, and the caller owns it');
  }
});

t.test('the empty name is the default export', async (t) => {
  const { client, exports } = handshake(t);
  await client.greet();
  client.send(option(Opt.EXPORT_NAME));
  await client.read(10);
  t.equal(exports[0].opened, 1);
});

t.test('an export that cannot be had is a hang-up without a byte', async (t) => {
  const cases = {
    unknown: Buffer.from('nope'),
    'too long': Buffer.alloc(4097, 'n'),
    'over the option limit': Buffer.alloc(70_000, 'n'),
    NUL: Buffer.from('loop0\0'),
    'not UTF-8': Buffer.from([0xff]),
  };
  for (const [title, name] of Object.entries(cases)) {
    const { client, outcome, exports } = handshake(t);
    await client.greet();
    client.send(option(Opt.EXPORT_NAME, name));
    t.equal((await outcome).kind, 'dropped', title);
    t.equal(client.unread.length, 0);
    t.equal(exports[0].opened, 0);
  }
});

t.test('an export that refuses to open is a hang-up that names the reason', async (t) => {
  const { client, outcome, exports } = handshake(t);
  exports[0].refusal = new LoopError('ENXIO', 'loop0 is being removed');
  await client.greet();
  client.send(option(Opt.EXPORT_NAME, Buffer.from('loop0')));
  t.match(await outcome, { kind: 'dropped', reason: 'loop0 is being removed' });
});

t.test('structured replies and contexts hold with EXPORT_NAME, extended headers forbid it', async (t) => {
  const structured = handshake(t);
  await structured.client.greet();
  await structured.client.ask(Opt.STRUCTURED_REPLY);
  await structured.client.ask(Opt.SET_META_CONTEXT, contextData('loop0', ['base:allocation']));
  structured.client.send(option(Opt.EXPORT_NAME, Buffer.from('loop0')));
  t.match(await structured.outcome, { mode: 'structured', contexts: [{ id: 1, name: 'base:allocation' }] });

  const extended = handshake(t);
  await extended.client.greet();
  t.equal(await extended.client.askOne(Opt.EXTENDED_HEADERS), Rep.ACK);
  extended.client.send(option(Opt.EXPORT_NAME, Buffer.from('loop0')));
  t.equal((await extended.outcome).kind, 'dropped');
  t.equal(extended.exports[0].opened, 0);
});
