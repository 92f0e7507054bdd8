import { once } from 'node:events';
import koffi from 'koffi';
import t, { type Test } from 'tap';
import { startDaemon } from '../../../driver/daemon.js';
import { Cmd } from '../../../server/wire/constants.js';
import { selfSigned } from '../../helpers/certificates.js';
import { descriptorsOf, openTcpSession, serverEnd } from '../../helpers/tcp-sessions.js';
import { makeRandomFile, TempDir } from '../../helpers/temp.js';
import { skipUnless } from '../../helpers/tools.js';
import { encodeAsk, ReplyReader } from '../../helpers/transmission-client.js';

t.setTimeout(60_000);

const MIB = 1 << 20;
/** socket(7), tcp(7). */
const SOL_SOCKET = 1;
const SO_KEEPALIVE = 9;
const IPPROTO_TCP = 6;
const TCP_NODELAY = 1;
const TCP_KEEPIDLE = 4;

const getsockopt = koffi
  .load('libc.so.6')
  .func('int getsockopt(int fd, int level, int name, _Out_ int *value, _Inout_ unsigned int *length)');

const option = (fd: number, level: number, name: number): number | undefined => {
  const value = [0];
  return getsockopt(fd, level, name, value, [4]) === 0 ? value[0] : undefined;
};

/** A daemon in this process that offers TLS; its port. */
async function serve(t: Test): Promise<number> {
  const dir = new TempDir();
  t.teardown(() => dir[Symbol.dispose]());
  const { cert, key } = await selfSigned(dir, 'server');
  const daemon = await startDaemon({
    devices: [{ file: makeRandomFile(dir.file('disk.img'), 8 * MIB) }],
    listen: [{ host: '127.0.0.1', port: 0 }],
    unix: null,
    control: null,
    tls: { cert, key, isRequired: false },
    logLevel: 'silent',
    demonstrate: false,
  });
  t.teardown(() => daemon.drain(1000));
  const port = Number(/:(\d+)\//.exec(daemon.uris('loop0')[0] ?? '')?.[1]);
  if (!(port > 0)) throw new Error(`no port in ${daemon.uris('loop0')}`);
  return port;
}

const LARGE = { type: Cmd.READ, offset: 0, length: MIB };

for (const tls of [false, true]) {
  const kind = tls ? 'TLS' : 'plain';
  const skip = skipUnless('openssl');

  t.test(`${kind} over TCP: small replies leave at once, and a silent peer is asked`, { skip }, async (t) => {
    const port = await serve(t);
    const { client, stream, ports } = await openTcpSession(port, { tls });
    client.send(encodeAsk('simple', { ...LARGE, length: 512 }));
    await client.read(16 + 512); // whoever serves it has it
    const descriptors = descriptorsOf(serverEnd(ports));
    t.equal(descriptors.length, 1, 'one descriptor, and none left with whoever negotiated');
    const [fd = -1] = descriptors;
    t.equal(option(fd, IPPROTO_TCP, TCP_NODELAY), 1, 'no Nagle');
    t.equal(option(fd, SOL_SOCKET, SO_KEEPALIVE), 1, 'keepalive');
    t.equal(option(fd, IPPROTO_TCP, TCP_KEEPIDLE), 60, 'after a minute');
    stream.destroy();
  });

  t.test(`${kind} over TCP: a client that only ended its side gets every reply`, { skip }, async (t) => {
    const port = await serve(t);
    const { client, stream } = await openTcpSession(port, { tls });
    const asks = Array.from({ length: 30 }, (_, index) => ({ ...LARGE, cookie: BigInt(index) }));
    stream.pause();
    client.send(...asks.map((ask) => encodeAsk('simple', ask)));
    stream.end();
    await once(stream, 'finish');
    stream.removeAllListeners('data');
    const received: Buffer[] = [];
    stream.on('data', (bytes: Buffer) => received.push(bytes));
    stream.resume();
    await once(stream, 'close');
    const reader = new ReplyReader('simple');
    reader.expect(...asks);
    const replies = reader.read(Buffer.concat(received));
    t.strictSame(
      replies.map(({ cookie, error }) => [cookie, error]),
      asks.map(({ cookie }) => [cookie, 0]),
    );
    t.equal(reader.incomplete, 0);
  });
}
