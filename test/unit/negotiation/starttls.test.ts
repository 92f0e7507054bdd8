import { duplexPair } from 'node:stream';
import t, { type Test } from 'tap';
import { negotiateOverTls } from '../../../server/negotiation/negotiate.js';
import { Opt, Rep } from '../../../server/wire/constants.js';
import {
  contextData,
  HandshakeClient,
  handshake,
  handshakeOptions,
  infoData,
  option,
} from '../../helpers/handshake.js';

const OTHER_OPTIONS = Object.entries({ ...Opt, UNKNOWN: 4711 }).filter(
  ([name]) => !['EXPORT_NAME', 'ABORT', 'STARTTLS'].includes(name),
);

t.test('STARTTLS is acknowledged where TLS is offered, and ends this handshake', async (t) => {
  for (const tls of ['optional', 'required'] as const) {
    const { client, outcome } = handshake(t, { tls });
    await client.greet(1);
    t.equal(await client.askOne(Opt.STARTTLS), Rep.ACK);
    t.same(await outcome, { kind: 'starttls', clientFlags: 1 });
  }
});

t.test('without TLS, STARTTLS is ERR_POLICY and the session goes on', async (t) => {
  const { client } = handshake(t);
  await client.greet();
  t.equal(await client.askOne(Opt.STARTTLS), Rep.ERR_POLICY);
  t.equal((await client.ask(Opt.LIST)).at(-1)?.type, Rep.ACK);
});

t.test('STARTTLS with data is ERR_INVALID', async (t) => {
  const { client } = handshake(t, { tls: 'required' });
  await client.greet();
  t.equal(await client.askOne(Opt.STARTTLS, Buffer.from('x')), Rep.ERR_INVALID);
  t.equal(await client.askOne(Opt.STARTTLS), Rep.ACK, 'and may be tried again');
});

t.test('where TLS is required everything else is ERR_TLS_REQD and tells nothing', async (t) => {
  const { client } = handshake(t, { tls: 'required' });
  await client.greet();
  for (const [name, number] of OTHER_OPTIONS) {
    const replies = await client.ask(number, infoData('loop0'));
    t.match(replies, [{ option: number, type: Rep.ERR_TLS_REQD }], name);
    t.notMatch(replies[0]?.data.toString(), /loop/);
  }
  t.equal(await client.askOne(4711, Buffer.alloc(100_000)), Rep.ERR_TLS_REQD, 'also when too big');
  t.equal(await client.askOne(Opt.ABORT), Rep.ACK);
});

t.test('where TLS is required EXPORT_NAME is a hang-up', async (t) => {
  const { client, outcome, exports } = handshake(t, { tls: 'required' });
  await client.greet();
  client.send(option(Opt.EXPORT_NAME, Buffer.from('loop0')));
  t.equal((await outcome).kind, 'dropped');
  t.equal(client.unread.length, 0);
  t.equal(exports[0].opened, 0);
});

t.test('where TLS is optional everything works without', async (t) => {
  const { client, outcome } = handshake(t, { tls: 'optional' });
  await client.greet();
  for (const [name, number] of OTHER_OPTIONS) {
    const replies = await client.ask(number, contextData('loop9', []));
    t.not(replies.at(-1)?.type, Rep.ERR_TLS_REQD, name);
  }
  await client.ask(Opt.GO, infoData('loop0'));
  t.equal((await outcome).kind, 'transmission');
});

t.test('plain text that was sent behind STARTTLS is thrown away', async (t) => {
  const { client, server, outcome } = handshake(t, { tls: 'required' });
  await client.greet();
  client.send(option(Opt.STARTTLS), option(Opt.GO, infoData('loop0')));
  t.equal((await outcome).kind, 'starttls');
  t.equal(server.read(), null, 'nothing is left for the TLS engine to take for encrypted');
});

const overTls = (t: Test, tls: 'optional' | 'required') => {
  const [server, near] = duplexPair();
  const client = new HandshakeClient(near);
  t.teardown(() => server.destroy());
  const options = handshakeOptions({ tls });
  return { client, outcome: negotiateOverTls(server, options, { kind: 'starttls', clientFlags: 3 }) };
};

t.test('over TLS the options go on at once, without a second greeting', async (t) => {
  for (const tls of ['optional', 'required'] as const) {
    const { client, outcome } = overTls(t, tls);
    t.equal((await client.ask(Opt.LIST)).length, 3);
    t.equal(await client.askOne(4711), Rep.ERR_UNSUP);
    t.equal(await client.askOne(Opt.STARTTLS), Rep.ERR_INVALID, 'TLS in TLS');
    client.send(option(Opt.EXPORT_NAME, Buffer.from('loop0')));
    await client.read(10);
    t.match(await outcome, { kind: 'transmission', mode: 'simple' });
  }
});

t.test('what was agreed on before TLS is forgotten', async (t) => {
  const plain = handshake(t, { tls: 'optional' });
  await plain.client.greet();
  await plain.client.ask(Opt.STRUCTURED_REPLY);
  await plain.client.ask(Opt.SET_META_CONTEXT, contextData('loop0', ['base:allocation']));
  await plain.client.ask(Opt.STARTTLS);
  t.same(await plain.outcome, { kind: 'starttls', clientFlags: 3 });

  const { client, outcome } = overTls(t, 'optional');
  await client.ask(Opt.GO, infoData('loop0'));
  t.match(await outcome, { mode: 'simple' });
  const ending = await outcome;
  t.same(ending.kind === 'transmission' && ending.contexts, []);
});
