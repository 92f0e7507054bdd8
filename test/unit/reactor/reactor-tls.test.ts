/** Reactors own connections over TLS as they own plain ones. */
import { randomFillSync } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { TLSSocket } from 'node:tls';
import t from 'tap';
import { Cmd, CmdFlag } from '../../../server/wire/constants.js';
import { PskPair } from '../../helpers/psk-pair.js';
import { type BlockClient, ReactorBench } from '../../helpers/reactor-bench.js';
import { encodeAsk } from '../../helpers/transmission-client.js';
import { until } from '../../helpers/until.js';

const { READ, WRITE, FLUSH, DISC } = Cmd;
const MIB = 1 << 20;
const some = { type: READ, offset: 0, length: 512 };

t.setTimeout(120_000);

/** The socket below TLS, for what TLS would not send. */
const below = (client: BlockClient): NodeJS.WritableStream =>
  (client.socket as unknown as { readonly _parent: NodeJS.WritableStream })._parent;

for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
  t.test(version, async (t) => {
    await using bench = await ReactorBench.start({ reactors: 2 });
    await using tls = new PskPair(version);
    const device = await bench.device(8 * MIB);

    await t.test('what is written is read back, small and in pieces larger than any buffer', async (t) => {
      for (const mode of ['simple', 'structured', 'extended'] as const) {
        const client = await bench.connect(device, { tls, mode });
        for (const length of [1, 4096, 65536, 65537, 3 * MIB + 5]) {
          const payload = randomFillSync(Buffer.alloc(length));
          const written = await client.ask({ type: WRITE, offset: 7, payload });
          t.equal(written.error, 0);
          const { data } = await client.ask({ type: READ, offset: 7, length });
          t.ok(data?.equals(payload), `${mode}, ${length} bytes`);
        }
        client.socket.destroy();
        await client.closed;
      }
    });

    await t.test('requests that came before the reactor had it are served first', async (t) => {
      const early = Array.from({ length: 20 }, (_, i) => ({ ...some, offset: i * 512, cookie: BigInt(i) }));
      const client = await bench.connect(device, { tls, early });
      client.send({ ...some, cookie: 99n });
      const replies = await client.replies(21);
      t.strictSame(
        replies.map(({ cookie }) => cookie),
        [...early.map(({ cookie }) => cookie), 99n],
      );
      const image = readFileSync(device.path);
      t.ok(replies[3]?.data?.equals(image.subarray(3 * 512, 4 * 512)));
    });

    await t.test('byte by byte, each in a record of its own, a request is a request', async (t) => {
      const client = await bench.connect(device, { tls });
      const ask = { type: WRITE, offset: 0, payload: Buffer.from('abc') };
      client.expect(ask);
      for (const byte of encodeAsk('simple', ask)) client.socket.write(Buffer.from([byte]));
      const [reply] = await client.replies(1);
      t.equal(reply?.error, 0);
      t.equal(readFileSync(device.path).toString('latin1', 0, 3), 'abc');
    });

    await t.test(
      'hundreds of requests at once are answered in order, in the turns that others have, too',
      async (t) => {
        const busy = await bench.connect(device, { tls });
        const others = [await bench.connect(device, { tls }), await bench.connect(device, { tls })];
        const asks = Array.from({ length: 3000 }, (_, i) => ({ type: FLUSH, cookie: BigInt(i) }));
        busy.send(...asks);
        await Promise.all(others.map((other) => other.ask(some)));
        const replies = await busy.replies(asks.length);
        t.equal(replies.filter(({ error }) => error !== 0).length, 0);
      },
    );

    await t.test('DISC is answered by a goodbye, after everything before it', async (t) => {
      const client = await bench.connect(device, { tls });
      client.send(
        { type: WRITE, flags: CmdFlag.FUA, cookie: 3n, offset: 0, payload: Buffer.from('abd') },
        { type: READ, cookie: 1n, offset: 0, length: 100_000 },
        { type: DISC },
      );
      const ended = once(client.socket, 'end'); // an end without close_notify is an error instead
      t.equal((await client.replies(2)).length, 2);
      await ended;
      t.equal(await client.reason, 'the client disconnected');
    });

    await t.test('a client that ends its side gets every reply; one that vanishes is let go', async (t) => {
      const client = await bench.connect(device, { tls });
      client.send({ type: FLUSH, cookie: 1n }, { ...some, cookie: 2n, length: 300_000 });
      client.socket.end();
      t.equal((await client.replies(2)).length, 2);
      t.equal(await client.reason, 'the client closed the connection');
      const gone = await bench.connect(device, { tls });
      await gone.ask(some);
      below(gone).end(); // no goodbye
      t.equal(await gone.reason, 'the client closed the connection');
    });

    await t.test(
      'what is not a request, and what is not TLS, ends that connection and no other',
      async (t) => {
        const witness = await bench.connect(device, { tls });
        const wrong = await bench.connect(device, { tls });
        wrong.socket.write(Buffer.alloc(28, 'x'));
        t.equal(await wrong.reason, 'the client broke the protocol');
        const garbage = await bench.connect(device, { tls });
        below(garbage).write(Buffer.alloc(100_000, 'x'));
        t.match(await garbage.reason, /^TLS failed: /);
        const forged = await bench.connect(device, { tls });
        await forged.ask(some);
        const record = Buffer.alloc(5 + 64);
        record.set([23, 3, 3, 0, 64]);
        below(forged).write(record);
        t.match(await forged.reason, /^TLS failed: .*(mac|decrypt|cipher)/i);
        const partial = await bench.connect(device, { tls });
        below(partial).write(record.subarray(0, 20));
        await partial.ask(some).catch(() => {});
        below(partial).end();
        await partial.reason;
        t.equal((await witness.ask(some)).error, 0);
      },
    );

    await t.test('a frozen device parks the connection until it thaws', async (t) => {
      const client = await bench.connect(device, { tls });
      const frozen = await device.queue.freeze();
      client.send({ ...some, cookie: 1n }, { ...some, cookie: 2n });
      await new Promise((resolve) => setTimeout(resolve, 50));
      t.equal(client.untaken, 0);
      await frozen[Symbol.asyncDispose]();
      t.equal((await client.replies(2)).length, 2);
    });

    await t.test('a client that does not read is held, and everything comes when it does', async (t) => {
      const client = await bench.connect(device, { tls });
      const witness = await bench.connect(device, { tls });
      client.socket.pause();
      client.send(
        ...Array.from({ length: 16 }, (_, i) => ({ type: READ, cookie: BigInt(i), offset: 0, length: MIB })),
      );
      for (let round = 0; round < 20; round++) await witness.ask(some);
      await until('no request is counted in', async () => device.queue.inFlight === 0 || undefined);
      client.socket.resume();
      const image = readFileSync(device.path).subarray(0, MIB);
      const replies = await client.replies(16);
      t.ok(replies.every(({ data }) => data?.equals(image)));
    });

    await t.test('a connection goes on in another thread, with what it had received', async (t) => {
      const client = await bench.connect(device, { tls });
      for (let round = 0; round < 20; round++) {
        client.send(...Array.from({ length: 40 }, (_, i) => ({ ...some, cookie: BigInt(i), length: 9000 })));
        t.ok(await bench.handOver(client));
        t.equal((await client.replies(40)).filter(({ error }) => error !== 0).length, 0);
      }
    });

    await t.test('draining serves what was received, then says goodbye', async (t) => {
      await using other = await ReactorBench.start();
      const drained = await other.device(MIB);
      const client = await other.connect(drained, { tls });
      const idle = await other.connect(drained, { tls });
      await Promise.all([client.ask(some), idle.ask(some)]);
      client.send({ type: READ, offset: 0, length: 300_000 });
      const received = client.replies(1);
      await other.close();
      t.equal((await received)[0]?.error, 0);
      t.equal(await client.reason, 'the server is draining');
      t.equal(await idle.reason, 'the server is draining');
    });

    await until('nothing is counted in', async () => device.queue.inFlight === 0 || undefined);
  });
}

t.test('a client of TLS 1.2 that wants to renegotiate is refused, and others go on', async (t) => {
  await using bench = await ReactorBench.start();
  await using tls = new PskPair('TLSv1.2');
  const device = await bench.device(MIB);
  const witness = await bench.connect(device, { tls });
  const client = await bench.connect(device, { tls });
  await client.ask(some);
  const refused = once(client.socket, 'error').catch((error: Error) => [error]);
  (client.socket as TLSSocket).renegotiate({}, () => t.fail('there is no second handshake'));
  t.match(await refused, [/renegotiation/i]);
  client.socket.destroy();
  await client.reason;
  t.equal((await witness.ask(some)).error, 0);
});
