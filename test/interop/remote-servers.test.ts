/** Our client's handshake with servers of every kind, and that requests go through what it hands over. */
import { readFileSync } from 'node:fs';
import { Socket } from 'node:net';
import t from 'tap';
import { LoopError } from '../../driver/errno.js';
import { dial } from '../../driver/remote/dial.js';
import type { Link } from '../../driver/remote/link.js';
import type { RemoteTls } from '../../driver/remote/tls.js';
import { parseUri } from '../../driver/remote/uri.js';
import { Cmd, Magic, Size } from '../../server/wire/constants.js';
import { Daemon, freePort } from '../helpers/daemon.js';
import { type Security, type ServerKeys, serverKeys, startServer } from '../helpers/nbd-servers.js';
import { makeRandomFile, TempDir } from '../helpers/temp.js';
import { skipUnless } from '../helpers/tools.js';

t.setTimeout(180_000);

const MIB = 1 << 20;
const USER = 'alice';
const skip = skipUnless('nbdkit', 'qemu-nbd', 'nbd-server', 'openssl');

const tlsOf = (security: Security, keys: ServerKeys): RemoteTls => {
  if (security === 'plain') return {};
  if (security === 'psk') return { psk: keys.psk, user: USER };
  return { ca: keys.authority.cert, cert: keys.client.cert, key: keys.client.key };
};

const find = (uris: readonly string[], tls: RemoteTls = {}, connections = 1) =>
  dial({
    addresses: uris.map(parseUri),
    first: 0,
    connections,
    tls,
    meant: undefined,
    signal: new AbortController().signal,
  });

/** READ as the kernel sends it, over the descriptor that the kernel would get. */
async function read(link: Link, offset: number, length: number): Promise<Buffer> {
  const socket = new Socket({ fd: link.take() });
  const request = Buffer.alloc(Size.REQUEST);
  request.writeUInt32BE(Magic.REQUEST, 0);
  request.writeUInt16BE(Cmd.READ, 6);
  request.writeBigUInt64BE(BigInt(offset), 16);
  request.writeUInt32BE(length, 24);
  socket.write(request);
  const chunks: Buffer[] = [];
  let received = 0;
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    received += chunk.length;
    if (received >= Size.SIMPLE_REPLY + length) break;
  }
  const reply = Buffer.concat(chunks);
  if (reply.readUInt32BE(0) !== Magic.SIMPLE_REPLY || reply.readUInt32BE(4) !== 0)
    throw new Error('no reply');
  return reply.subarray(Size.SIMPLE_REPLY);
}

const TRANSPORTS = ['unix', 'tcp'] as const;
const CASES = TRANSPORTS.flatMap(
  (transport) =>
    (['nbdkit', 'qemu-nbd', 'nbd-server'] as const).flatMap((program) =>
      (['plain', 'certificates', 'psk'] as const).map((security) => ({ program, transport, security })),
    ),
  // nbd-server knows no pre-shared keys.
).filter(({ program, security }) => program !== 'nbd-server' || security !== 'psk');

t.test('other servers', { skip }, async (t) => {
  using dir = new TempDir();
  const keys = await serverKeys(dir, USER);
  const image = makeRandomFile(dir.file('disk.img'), MIB);
  const content = readFileSync(image);
  for (const { program, transport, security } of CASES) {
    await t.test(`${program}, ${transport}, ${security}`, async (t) => {
      const exportName = program === 'nbdkit' ? '' : 'a disk/1';
      await using server = await startServer(program, dir, { image, exportName, transport, security, keys });
      const { facts, links } = await find([server.uri], tlsOf(security, keys));
      t.equal(facts.size, MIB);
      t.equal(facts.uuid, null);
      const [link] = links;
      t.ok(link && (await read(link, 4096, 8192)).equals(content.subarray(4096, 12_288)), 'reads the file');
    });
  }
});

t.test('nbdloop, plain and over TLS', { skip }, async (t) => {
  using dir = new TempDir();
  const keys = await serverKeys(dir, USER);
  const image = makeRandomFile(dir.file('disk.img'), MIB);
  const content = readFileSync(image);
  const port = await freePort();
  const { server, authority, psk } = keys;
  const tls = [
    '--tls-cert',
    server.cert,
    '--tls-key',
    server.key,
    '--tls-ca',
    authority.cert,
    '--tls-psk',
    psk,
  ];
  await using daemon = await Daemon.start({ devices: [image], port, args: tls });
  const { uuid } = await daemon.client.device(0);
  const cases = [
    ['plain over TCP', `nbd://127.0.0.1:${port}/loop0`, 'plain'],
    ['plain over a Unix socket', daemon.uri(), 'plain'],
    ['certificates over TCP', `nbds://localhost:${port}/loop0`, 'certificates'],
    ['certificates over a Unix socket', `nbds+unix:///loop0?socket=${daemon.socket}`, 'certificates'],
    ['a key over TCP', `nbds://localhost:${port}/loop0`, 'psk'],
    ['a key over a Unix socket', `nbds+unix:///loop0?socket=${daemon.socket}`, 'psk'],
  ] as const;
  for (const [title, uri, security] of cases) {
    await t.test(title, async (t) => {
      const { facts, links } = await find([uri], tlsOf(security, keys), 2);
      t.equal(facts.uuid, uuid, 'its identity is in the description');
      t.equal(links.length, 2);
      for (const link of links) t.ok((await read(link, 0, 4096)).equals(content.subarray(0, 4096)));
    });
  }

  await t.test('what is wrong is said of each address, and nothing is left open', async (t) => {
    const refused = async (uris: readonly string[], security: Security, connections = 1) => {
      try {
        await find(uris, tlsOf(security, keys), connections);
      } catch (error) {
        if (error instanceof LoopError) return error;
        throw error;
      }
      throw new Error('found');
    };
    const missing = await refused([`nbd://127.0.0.1:${port}/nothing`], 'plain');
    t.equal(missing.errno, 'ENOENT');
    t.match(missing.message, `127.0.0.1:${port}: the server has no export "nothing"`);
    const closed = await refused(['nbd://127.0.0.1:1', daemon.uri('loop7')], 'plain');
    t.match(closed.message, '127.0.0.1:1: connect: ECONNREFUSED');
    t.match(closed.message, 'loop7');
    const stranger = await refused(
      [`nbds://127.0.0.1:${port}/loop0?tls-hostname=example.org`],
      'certificates',
    );
    t.equal(stranger.errno, 'EACCES');
    const unknown = await refused([`nbds://localhost:${port}/loop0`], 'plain');
    t.match(unknown, { errno: 'EACCES', message: /TLS failed: .*(self-signed|self signed|unable to)/ });
    const nobody = await refused([`nbd+unix:///?socket=${dir.file('none.sock')}`], 'plain');
    t.equal(nobody.errno, 'ENOENT');
  });

  await t.test('the next address is tried, and the second one is told', async (t) => {
    const { at, links } = await find(['nbd://127.0.0.1:1/loop0', daemon.uri()]);
    t.equal(at, 1);
    for (const link of links) link.end();
  });
});
