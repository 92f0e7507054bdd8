/** TLS over real sockets, with Node's own client; test/interop holds what GnuTLS's clients say. */

import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { connect as connectPlain, createServer, type Socket } from 'node:net';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import t, { type Test } from 'tap';
import { hangUp } from '../../../server/handshake.js';
import { negotiate, negotiateOverTls } from '../../../server/negotiation/negotiate.js';
import { acceptTls } from '../../../server/tls/accept-tls.js';
import { Handshaker } from '../../../server/tls/handshaker.js';
import { loadTls, type TlsFiles } from '../../../server/tls/tls-settings.js';
import { Opt, Rep } from '../../../server/wire/constants.js';
import { selfSigned, signedBy } from '../../helpers/certificates.js';
import { HandshakeClient, handshakeOptions, infoData, option } from '../../helpers/handshake.js';
import { TempDir } from '../../helpers/temp.js';
import { skipUnless } from '../../helpers/tools.js';

/** What a connection came to on the server: the kind of the outcome over TLS, or why TLS failed. */
type Ending = { readonly kind: string } | { readonly failed: Error };

/** A listening server that upgrades every connection, and the endings of its connections in order. */
const serve = async (t: Test, files: TlsFiles, { deadline = new AbortController().signal } = {}) => {
  const dir = new TempDir();
  const endings: Promise<Ending>[] = [];
  const settings = loadTls(files);
  if (settings === undefined) throw new Error('no TLS');
  const options = handshakeOptions({ tls: 'required', signal: deadline });
  const handshaker = new Handshaker((error) => t.fail('the thread of handshakes died', { error }));
  const handle = async (socket: Socket): Promise<Ending> => {
    const asked = await negotiate(socket, options);
    if (asked.kind !== 'starttls') return asked;
    try {
      const secure = await acceptTls(socket, { handshaker, context: settings }, deadline);
      secure.on('error', () => {});
      const outcome = await negotiateOverTls(secure, options, asked);
      if (outcome.kind !== 'transmission') hangUp(socket, secure);
      return outcome;
    } catch (failed) {
      socket.destroy();
      return { failed: failed as Error };
    }
  };
  const server = createServer((socket) => {
    socket.on('error', () => {});
    endings.push(handle(socket));
  });
  server.listen(dir.file('s'));
  await once(server, 'listening');
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => sockets.add(socket));
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
    void handshaker.close();
    dir[Symbol.dispose]();
  });
  return { path: dir.file('s'), endings };
};

/** A connection whose STARTTLS was acknowledged. */
const starttls = async (t: Test, path: string): Promise<Socket> => {
  const socket = connectPlain(path);
  t.teardown(() => socket.destroy());
  const client = new HandshakeClient(socket);
  await client.greet();
  if ((await client.askOne(Opt.STARTTLS)) !== Rep.ACK) throw new Error('no TLS here');
  socket.removeAllListeners('data').pause();
  return socket;
};

/** The same, upgraded. Rejects when the client's side of the handshake fails. */
const upgrade = async (t: Test, path: string, options: ConnectionOptions): Promise<TLSSocket> => {
  const socket = await starttls(t, path);
  const secure = connect({ socket, servername: 'localhost', ...options });
  await once(secure, 'secureConnect');
  return secure;
};

const go = async (secure: TLSSocket): Promise<number | undefined> => {
  const replies = await new HandshakeClient(secure).ask(Opt.GO, infoData('loop0'));
  return replies.at(-1)?.type;
};

t.test('with certificates', { skip: skipUnless('openssl') }, async (t) => {
  const dir = new TempDir();
  t.teardown(() => dir[Symbol.dispose]());
  const authority = await selfSigned(dir, 'authority');
  const ca = readFileSync(authority.cert);
  const server = await signedBy(dir, authority, 'server');
  const client = await signedBy(dir, authority, 'client');
  const stranger = await selfSigned(dir, 'stranger');
  const load = ({ cert, key }: { cert: string; key: string }) => ({
    cert: readFileSync(cert),
    key: readFileSync(key),
  });

  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    t.test(`${version} carries the handshake`, async (t) => {
      const { path, endings } = await serve(t, server);
      const secure = await upgrade(t, path, { ca, maxVersion: version, minVersion: version });
      t.equal(secure.getProtocol(), version);
      t.equal(await go(secure), Rep.ACK);
      t.match(await endings[0], { kind: 'transmission' });
    });
  }

  t.test('TLS 1.3 is what a client gets that has no wish', async (t) => {
    const { path } = await serve(t, server);
    t.equal((await upgrade(t, path, { ca })).getProtocol(), 'TLSv1.3');
  });

  t.test('TLS 1.1 is refused', async (t) => {
    const { path, endings } = await serve(t, server);
    const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'ALL:@SECLEVEL=0' } as const;
    await t.rejects(upgrade(t, path, { ca, ...old }));
    t.match(await endings[0], { failed: Error });
  });

  t.test('a client certificate is verified where an authority is given', async (t) => {
    const { path, endings } = await serve(t, { ...server, ca: authority.cert });
    const welcome = await upgrade(t, path, { ca, ...load(client) });
    t.equal(await go(welcome), Rep.ACK);
    t.match(await endings[0], { kind: 'transmission' });

    // In TLS 1.3 a client is done before the server has looked at its certificate.
    for (const shown of [load(stranger), {}]) {
      const secure = await upgrade(t, path, { ca, ...shown }).catch(() => undefined);
      secure?.on('error', () => {});
      t.match(await endings.at(-1), { failed: Error });
    }
    t.equal(endings.length, 3);
  });
});

t.test('with pre-shared keys', async (t) => {
  const dir = new TempDir();
  t.teardown(() => dir[Symbol.dispose]());
  const psk = dir.file('keys');
  writeFileSync(psk, `alice:${'5a'.repeat(32)}\n`);
  const as = (identity: string, key: string, version: 'TLSv1.2' | 'TLSv1.3'): ConnectionOptions => ({
    pskCallback: () => ({ identity, psk: Buffer.from(key.repeat(32), 'hex') }),
    ciphers: 'TLS_AES_128_GCM_SHA256:PSK',
    checkServerIdentity: () => undefined,
    minVersion: version,
    maxVersion: version,
  });

  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    t.test(`${version} carries the handshake`, async (t) => {
      const { path, endings } = await serve(t, { psk });
      const secure = await upgrade(t, path, as('alice', '5a', version));
      t.equal(secure.getProtocol(), version);
      t.equal(await go(secure), Rep.ACK);
      t.match(await endings[0], { kind: 'transmission' });
    });

    t.test(`${version}: a wrong key and an unknown identity are refused`, async (t) => {
      const { path, endings } = await serve(t, { psk });
      await t.rejects(upgrade(t, path, as('alice', '5b', version)));
      await t.rejects(upgrade(t, path, as('bob', '5a', version)));
      t.match(await Promise.all(endings), [{ failed: Error }, { failed: Error }]);
    });
  }
});

t.test('what is not TLS after the ACK ends the connection, and never reaches the options', async (t) => {
  const dir = new TempDir();
  t.teardown(() => dir[Symbol.dispose]());
  const psk = dir.file('keys');
  writeFileSync(psk, 'alice:00\n');

  t.test('a plain option', async (t) => {
    const { path, endings } = await serve(t, { psk });
    const socket = await starttls(t, path);
    socket.write(option(Opt.GO, infoData('loop0')));
    t.match(await endings[0], { failed: Error });
  });

  t.test('a goodbye', async (t) => {
    const { path, endings } = await serve(t, { psk });
    (await starttls(t, path)).destroy();
    t.match(await endings[0], { failed: Error });
  });

  t.test('silence, until the deadline', async (t) => {
    const controller = new AbortController();
    const { path, endings } = await serve(t, { psk }, { deadline: controller.signal });
    await starttls(t, path);
    controller.abort('the handshake took too long');
    t.match(await endings[0], { failed: { message: 'the handshake took too long' } });
  });
});

/** Stands between client and server, and keeps what the server says. */
const eavesdrop = async (t: Test, path: string): Promise<{ path: string; heard: Buffer[] }> => {
  const dir = new TempDir();
  const heard: Buffer[] = [];
  const proxy = createServer((near) => {
    const far = connectPlain(path);
    far.on('data', (bytes) => heard.push(bytes));
    for (const socket of [near, far]) socket.on('error', () => {});
    near.pipe(far).pipe(near);
  });
  proxy.listen(dir.file('s'));
  await once(proxy, 'listening');
  t.teardown(() => {
    proxy.close();
    dir[Symbol.dispose]();
  });
  return { path: dir.file('s'), heard };
};

t.test('a server that hangs up says goodbye over TLS', async (t) => {
  const dir = new TempDir();
  t.teardown(() => dir[Symbol.dispose]());
  const psk = dir.file('keys');
  writeFileSync(psk, 'alice:5a5a\n');
  const { path, endings } = await serve(t, { psk });
  const between = await eavesdrop(t, path);
  // In TLS 1.2 the kind of a record is in the clear.
  const secure = await upgrade(t, between.path, {
    pskCallback: () => ({ identity: 'alice', psk: Buffer.from('5a5a', 'hex') }),
    ciphers: 'PSK',
    checkServerIdentity: () => undefined,
    maxVersion: 'TLSv1.2',
  });
  const client = new HandshakeClient(secure);
  client.send(option(Opt.EXPORT_NAME, Buffer.from('nope')));
  t.match(await endings[0], { kind: 'dropped' });
  await once(secure, 'close');
  // The greeting and the reply to STARTTLS come before the first record.
  const records = Buffer.concat(between.heard).subarray(18 + 20);
  const kinds: number[] = [];
  for (let at = 0; at < records.length; at += 5 + records.readUInt16BE(at + 3)) kinds.push(records[at] ?? 0);
  t.equal(kinds.at(-1), 21, 'the last record is an alert: close_notify');
});
