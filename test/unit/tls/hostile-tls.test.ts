/** Peers that mean harm, at each stage of TLS: what they send ends their own connection, and nothing else. */
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import t from 'tap';
import { giveInput, openssl, takeOutput } from '../../../server/system/openssl.js';
import { duplicate } from '../../../server/system/sockets.js';
import { acceptTls } from '../../../server/tls/accept-tls.js';
import { Handshaker } from '../../../server/tls/handshaker.js';
import { TlsContext } from '../../../server/tls/tls-context.js';
import { Cmd } from '../../../server/wire/constants.js';
import { nativeClient, updateKeys } from '../../helpers/native-tls-client.js';
import { PSK_KEY, PskPair } from '../../helpers/psk-pair.js';
import { Random } from '../../helpers/random.js';
import { ReactorBench } from '../../helpers/reactor-bench.js';
import { socketPair } from '../../helpers/socket-pair.js';

const MIB = 1 << 20;
const some = { type: Cmd.READ, offset: 0, length: 512 };
const random = Random.fromEnvironment('NBDLOOP_SEED');

t.setTimeout(120_000);
t.comment(`NBDLOOP_SEED=${random.seed}`);

/** Cut, doubled, or with some of its bits turned. */
const spoiled = (bytes: Buffer): Buffer => {
  const copy = Buffer.from(bytes);
  for (let flips = 1 + random.below(4); flips > 0; flips--) {
    const at = random.below(copy.length);
    copy[at] = (copy[at] ?? 0) ^ (1 << random.below(8));
  }
  const kind = random.below(4);
  if (kind === 0) return bytes.subarray(0, random.below(bytes.length));
  if (kind === 1) return Buffer.concat([bytes, bytes]);
  if (kind === 2) return Buffer.concat([copy, Buffer.alloc(random.below(70_000), random.below(256))]);
  return copy;
};

/** What a client says first. */
const clientHello = async (): Promise<Buffer> => {
  const [near, far] = await socketPair();
  const client = connectTls({ socket: near });
  client.on('error', () => {});
  const heard = once(far, 'data');
  far.resume();
  const [hello] = (await heard) as [Buffer];
  client.destroy();
  far.destroy();
  return hello;
};

t.test('handshakes of any kind of garbage fail, each for itself, and the next one succeeds', async (t) => {
  const context = new TlsContext({ psk: new Map([['alice', Buffer.alloc(32, 7)]]) });
  const handshaker = new Handshaker((error) => t.fail('the thread died', { error }));
  t.teardown(() => handshaker.close());
  const hello = await clientHello();
  const attempts = Array.from({ length: 120 }, async (_, index) => {
    const [near, far] = await socketPair();
    near.on('error', () => {});
    near.resume();
    far.on('error', () => {});
    const accepted = acceptTls(far, { handshaker, context }, AbortSignal.timeout(20_000)).then(
      () => 'accepted',
      () => 'failed',
    );
    near.write(spoiled(hello));
    if (index % 3 === 0) near.destroy();
    else near.end();
    const outcome = await accepted;
    far.destroy();
    near.destroy();
    return outcome;
  });
  t.strictSame(new Set(await Promise.all(attempts)), new Set(['failed']));
  await using pair = new PskPair('TLSv1.3');
  await using bench = await ReactorBench.start();
  const client = await bench.connect(await bench.device(MIB), { tls: pair });
  t.equal((await client.ask(some)).error, 0);
});

t.test(
  'what a session sends is spoiled on its way: it ends, and the reactor serves the others',
  async (t) => {
    await using bench = await ReactorBench.start();
    const device = await bench.device(MIB);
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      await using tls = new PskPair(version);
      const witness = await bench.connect(device, { tls });
      for (let round = 0; round < 30; round++) {
        const client = await bench.connect(device, { tls });
        await client.ask(some);
        const socket = (client.socket as unknown as { readonly _parent?: Socket })._parent;
        const record = Buffer.alloc(5 + 40 + random.below(200), random.below(256));
        record.set([20 + random.below(5), 3, random.below(2) === 0 ? 3 : 1, 0, record.length - 5]);
        socket?.write(spoiled(record));
        if (random.below(2) === 0) client.socket.write(Buffer.alloc(3, 'x'));
        socket?.end();
        t.type(await client.reason, 'string');
        client.socket.destroy();
        t.equal((await witness.ask(some)).error, 0);
      }
      witness.socket.destroy();
      await witness.reason;
    }
    t.equal(bench.pool.connections, 0);
  },
);

t.test('a client that asks for new keys without end, and never reads, costs what it sends', async (t) => {
  await using bench = await ReactorBench.start();
  await using tls = new PskPair('TLSv1.3');
  const device = await bench.device(MIB);
  const witness = await bench.connect(device, { tls });
  const [near, far] = await socketPair();
  near.on('error', () => {});
  const ssl = nativeClient('alice', PSK_KEY);
  near.on('data', (bytes: Buffer) => {
    giveInput(ssl, bytes);
    openssl().doHandshake(ssl);
    near.write(takeOutput(ssl));
  });
  openssl().doHandshake(ssl);
  near.write(takeOutput(ssl));
  const handed = (await tls.accept(far)).handOver();
  if (handed === undefined) throw new Error('the client is gone');
  near.removeAllListeners('data').pause();
  const fd = duplicate((far as unknown as { readonly _handle: { readonly fd: number } })._handle.fd);
  far.destroy();
  const ended = new Promise<string>((resolve) => {
    const rest = { mode: 'simple', contexts: [], minimumBlock: 1, readOnly: false } as const;
    const { ssl: owned, leftover } = handed;
    bench.pool.adopt({ fd, tls: owned, opened: device.opened, leftover, ...rest }, resolve);
  });
  let sent = 0;
  for (let round = 0; round < 40; round++) {
    for (let update = 0; update < 250; update++) updateKeys(ssl);
    const bytes = takeOutput(ssl);
    sent += bytes.length;
    near.write(bytes);
    t.equal((await witness.ask(some)).error, 0);
  }
  t.ok(sent > 200_000, 'there were that many', { sent });
  near.destroy();
  t.type(await ended, 'string');
  t.equal((await witness.ask(some)).error, 0);
});
