/** Who gets in, how many, and for how long without saying what they want: the daemon's limits, from outside. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { Info, Opt, Rep } from '../../server/wire/constants.js';
import { selfSigned } from '../helpers/certificates.js';
import { Daemon, type DaemonOptions, freePort } from '../helpers/daemon.js';
import { HandshakeClient, infoData, option } from '../helpers/handshake.js';
import { NbdSession } from '../helpers/nbd-session.js';
import { runOk } from '../helpers/process.js';
import { openTcpSession, serverEnd } from '../helpers/tcp-sessions.js';
import { makeSparseFile, TempDir } from '../helpers/temp.js';
import { skipUnless, tool } from '../helpers/tools.js';
import { until } from '../helpers/until.js';

t.setTimeout(180_000);

/** As /proc/net/tcp has it. */
const KEEPALIVE_TIMER = 2;

interface Served {
  readonly daemon: Daemon;
  /** On the loopback. */
  readonly port: number;
}

/** A daemon with a 1 MiB loop0. */
const serve = async (t: Test, args: readonly string[], options: DaemonOptions = {}): Promise<Served> => {
  const files = new TempDir();
  const port = await freePort();
  const devices = [makeSparseFile(files.file('disk.img'), 1 << 20)];
  const daemon = await Daemon.start({ devices, port, args, ...options });
  t.teardown(async () => {
    await daemon[Symbol.asyncDispose]();
    files[Symbol.dispose]();
  });
  return { daemon, port };
};

const open = async (t: Test, to: number | string): Promise<HandshakeClient> => {
  const socket: Socket = typeof to === 'number' ? connect(to, '127.0.0.1') : connect(to);
  t.teardown(() => socket.destroy());
  await once(socket, 'connect');
  return new HandshakeClient(socket);
};

/** True when the server greets, false when it hangs up without a word. */
const isGreeted = async (client: HandshakeClient): Promise<boolean> => {
  try {
    await client.read(18);
    return true;
  } catch {
    return false;
  }
};

t.test('a TCP peer that is not on the allow-list is hung up on, a Unix one is served', async (t) => {
  const { daemon, port } = await serve(t, ['--allow', '192.0.2.0/24', '--allow', '2001:db8::/32']);
  t.notOk(await isGreeted(await open(t, port)));
  t.ok(await isGreeted(await open(t, daemon.socket)));
});

t.test('a TCP peer on the allow-list is served', async (t) => {
  const { port } = await serve(t, ['--allow', '192.0.2.0/24', '--allow', '127.0.0.0/8']);
  t.ok(await isGreeted(await open(t, port)));
});

t.test('an allow-list that is not one keeps the daemon from starting', async (t) => {
  using dir = new TempDir();
  await using daemon = Daemon.launch(dir, { args: ['--allow', 'localhost'], directory: dir });
  const { status, stderr } = await daemon.process.wait(30_000);
  t.equal(status, 1);
  t.match(stderr, /^nbdloopd: 'localhost' is not an address or a network/m);
});

t.test('--max-connections counts everybody, and who leaves makes room', async (t) => {
  const { daemon, port } = await serve(t, ['--max-connections', '3']);
  // What looked whether the daemon is ready may still be counted.
  await until('nobody is there', async () =>
    (await daemon.client.daemon()).connections === 0 ? true : undefined,
  );
  const inside = [await open(t, port), await open(t, port), await open(t, daemon.socket)];
  for (const client of inside) t.ok(await isGreeted(client));
  t.notOk(await isGreeted(await open(t, port)), 'the fourth');
  t.notOk(await isGreeted(await open(t, daemon.socket)), 'also over the Unix socket');
  inside[0]?.stream.destroy();
  await until('there is room', async () =>
    (await isGreeted(await open(t, daemon.socket))) ? true : undefined,
  );
});

t.test('--max-connections-per-peer counts TCP peers by address, and Unix peers not at all', async (t) => {
  const { daemon, port } = await serve(t, ['--max-connections-per-peer', '2']);
  t.ok(await isGreeted(await open(t, port)));
  t.ok(await isGreeted(await open(t, port)));
  t.notOk(await isGreeted(await open(t, port)));
  for (let count = 0; count < 4; count++) t.ok(await isGreeted(await open(t, daemon.socket)));
});

t.test(
  'a handshake has --handshake-timeout seconds, wherever it stops; a session has for ever',
  async (t) => {
    const { daemon } = await serve(t, ['--handshake-timeout', '1']);
    const session = await open(t, daemon.socket);
    await session.greet();
    t.equal((await session.ask(Opt.GO, infoData('loop0'))).at(-1)?.type, Rep.ACK);

    const slow: Promise<unknown>[] = [];
    for (const bytes of [
      [],
      [Buffer.from([0, 0, 0, 3])],
      [Buffer.from([0, 0, 0, 3]), Buffer.from('IHAVE')],
    ]) {
      const client = await open(t, daemon.socket);
      await client.read(18);
      client.send(...bytes);
      slow.push(once(client.stream, 'close'));
    }
    const dribbler = await open(t, daemon.socket);
    await dribbler.greet();
    const drip = setInterval(() => dribbler.stream.write(Buffer.from('I')), 100);
    slow.push(once(dribbler.stream, 'close'));
    await Promise.all(slow);
    clearInterval(drip);
    t.pass('all four are gone');

    // A READ of the first 16 bytes.
    session.send(Buffer.from('25609513000000000000000000000001000000000000000000000010', 'hex'));
    t.equal((await session.read(32)).readUInt32BE(0), 0x67446698);
  },
);

t.test(
  'clients of --listen-ro see a read-only export, those of --listen do not',
  { skip: skipUnless('nbdinfo', 'qemu-io') },
  async (t) => {
    const readOnlyPort = await freePort();
    const { port } = await serve(t, ['--listen-ro', `127.0.0.1:${readOnlyPort}`]);
    const about = async (to: number): Promise<unknown> =>
      JSON.parse(await runOk(tool('nbdinfo'), ['--json', `nbd://127.0.0.1:${to}/loop0`])).exports[0];
    t.match(await about(readOnlyPort), { is_read_only: true, can_trim: false, can_zero: false });
    t.match(await about(port), { is_read_only: false, can_trim: true, can_zero: true });

    // A client that writes all the same is told EPERM, and its connection stays.
    const client = await open(t, readOnlyPort);
    await client.greet();
    await client.ask(Opt.GO, infoData('loop0'));
    const write = Buffer.from('25609513000000010000000000000007000000000000000000000003', 'hex');
    for (let count = 0; count < 2; count++) {
      client.send(write, Buffer.from('abc'));
      t.equal((await client.read(16)).readUInt32BE(4), 1, 'EPERM');
    }
    await runOk(tool('qemu-io'), ['-f', 'raw', '-c', 'write 0 4k', `nbd://127.0.0.1:${port}/loop0`]);
  },
);

t.test('a daemon that drains tells handshakes ERR_SHUTDOWN, then hangs up', async (t) => {
  const { daemon } = await serve(t, []);
  // A session that keeps the drain waiting: it never reads its 64 replies of 1 MiB.
  const session = await open(t, daemon.socket);
  await session.greet();
  await session.ask(Opt.GO, infoData('loop0'));
  session.stream.pause();
  const read = Buffer.from('25609513000000000000000000000001000000000000000000100000', 'hex');
  session.send(...Array.from({ length: 64 }, () => read));

  const haggling = await open(t, daemon.socket);
  await haggling.greet();
  t.equal(await haggling.askOne(4711), Rep.ERR_UNSUP);
  const stopped = daemon.stop();
  await until('the daemon drains', async () =>
    daemon.process.stderr.includes('draining') ? true : undefined,
  );
  t.equal(await haggling.askOne(Opt.GO, infoData('loop0')), Rep.ERR_SHUTDOWN);
  haggling.send(option(Opt.LIST));
  t.equal((await haggling.reply()).type, Rep.ERR_SHUTDOWN);
  t.equal((await stopped).status, 0);
});

t.test(
  'a TCP client that is silent for a minute is asked whether it is there, over TLS too',
  { skip: skipUnless('openssl') },
  async (t) => {
    using dir = new TempDir();
    const { cert, key } = await selfSigned(dir, 'server');
    const { port } = await serve(t, ['--tls-cert', cert, '--tls-key', key]);
    for (const tls of [false, true]) {
      const { stream, ports } = await openTcpSession(port, { tls });
      const end = await until('the timer is that of keepalive', async () => {
        const { timer, expires } = serverEnd(ports);
        return timer === KEEPALIVE_TIMER ? { expires } : undefined;
      });
      t.ok(end.expires > 0 && end.expires <= 6000, 'within a minute', { ...end, tls });
      stream.destroy();
    }
  },
);

t.test('names, options and payloads are as long, and as many, as the daemon was told', async (t) => {
  const limits = ['--max-name', '8', '--max-option', '512', '--max-options', '6', '--max-payload', '1M'];
  const { daemon, port } = await serve(t, limits);
  const client = await open(t, port);
  await client.greet();
  t.equal(await client.askOne(Opt.INFO, infoData('loop00000')), Rep.ERR_INVALID, 'a name of nine bytes');
  t.equal(await client.askOne(Opt.INFO, infoData('loop0000')), Rep.ERR_UNKNOWN, 'one of eight is looked up');
  t.equal(await client.askOne(Opt.INFO, Buffer.alloc(513)), Rep.ERR_TOO_BIG, '513 bytes of an option');
  t.equal(await client.askOne(4711, Buffer.alloc(512)), Rep.ERR_UNSUP, '512 are read');
  const replies = await client.ask(Opt.INFO, infoData('loop0', [Info.BLOCK_SIZE]));
  const sizes = replies.find(({ data }) => data.length === 14)?.data;
  t.equal(sizes?.readUInt32BE(10), 1 << 20, 'the maximum that is told');
  t.equal(await client.askOne(4711), Rep.ERR_UNSUP, 'the sixth option');
  client.send(option(4711));
  await t.rejects(client.reply(), /the server ended after 0/, 'the seventh is too many');

  const session = await NbdSession.open(daemon.socket, 'loop0');
  const largest = 1 << 20;
  t.equal((await session.read(0, largest)).error, 0);
  t.equal((await session.read(0, largest + 512)).error, 22, 'EINVAL beyond the largest payload');
  t.equal(await session.write(0, Buffer.alloc(largest + 512)), 22);
  t.equal(await session.write(0, Buffer.alloc(largest)), 0, 'and the connection goes on');
  session.leave('disc');
});
