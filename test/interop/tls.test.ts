/** TLS as clients nobody here wrote speak it: libnbd's and QEMU's (GnuTLS), and nbd-client. */
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { type Pair, selfSigned, signedBy } from '../helpers/certificates.js';
import { checksum } from '../helpers/checksum.js';
import { Daemon, freePort } from '../helpers/daemon.js';
import { FuseMount, skipWithoutFuse } from '../helpers/fuse/fuse-mount.js';
import { describeFailure, run, runOk, start } from '../helpers/process.js';
import { makeRandomFile, makeSparseFile, TempDir } from '../helpers/temp.js';
import { skipUnless, tool } from '../helpers/tools.js';

t.setTimeout(300_000);

const MIB = 1 << 20;
const USER = 'alice';

/** Certificates and keys of one test, in the places where GnuTLS's users look for them. */
interface Credentials {
  readonly authority: Pair;
  readonly server: Pair;
  readonly client: Pair;
  /** A directory with ca-cert.pem, client-cert.pem and client-key.pem. */
  readonly directory: string;
  /** The same without a client certificate. */
  readonly anonymous: string;
  /** A directory with keys.psk. */
  readonly pskDirectory: string;
  readonly psk: string;
}

const credentials = async (dir: TempDir): Promise<Credentials> => {
  const authority = await selfSigned(dir, 'authority');
  const server = await signedBy(dir, authority, 'server');
  const client = await signedBy(dir, authority, 'client');
  const [directory, anonymous, pskDirectory] = [dir.file('client'), dir.file('anonymous'), dir.file('psk')];
  for (const path of [directory, anonymous, pskDirectory]) mkdirSync(path);
  for (const path of [directory, anonymous]) copyFileSync(authority.cert, `${path}/ca-cert.pem`);
  copyFileSync(client.cert, `${directory}/client-cert.pem`);
  copyFileSync(client.key, `${directory}/client-key.pem`);
  const psk = `${pskDirectory}/keys.psk`;
  writeFileSync(psk, `${USER}:${'c0ffee'.repeat(10)}\n`);
  return { authority, server, client, directory, anonymous, pskDirectory, psk };
};

const certificateArgs = ({ server, authority }: Credentials): string[] => [
  ...['--tls-cert', server.cert, '--tls-key', server.key, '--tls-ca', authority.cert],
];

/** libnbd's URI of loop0 over the Unix socket, with a client certificate. */
const certificateUri = (daemon: Daemon, directory: string): string =>
  `nbds+unix://localhost/loop0?socket=${daemon.socket}&tls-certificates=${directory}`;

const pskUri = (daemon: Daemon, psk: string, user = USER): string =>
  `nbds+unix://${user}@/loop0?socket=${daemon.socket}&tls-psk-file=${psk}`;

t.test('libnbd over TLS', { skip: skipUnless('openssl', 'nbdinfo', 'nbdcopy') }, async (t) => {
  const dir = new TempDir();
  t.teardown(() => dir[Symbol.dispose]());
  const files = await credentials(dir);
  const image = makeRandomFile(dir.file('disk.img'), 48 * MIB);
  const expected = await checksum(image);
  const daemon = await Daemon.start({
    devices: [image],
    args: [...certificateArgs(files), '--tls-psk', files.psk, '--tls-require'],
  });
  t.teardown(() => daemon[Symbol.asyncDispose]());
  const uris = {
    'a certificate': certificateUri(daemon, files.directory),
    'a pre-shared key': pskUri(daemon, files.psk),
  };

  for (const [title, uri] of Object.entries(uris)) {
    t.test(`nbdinfo with ${title} sees TLS and all there is without it`, async (t) => {
      const told = JSON.parse(await runOk(tool('nbdinfo'), ['--json', uri]));
      t.equal(told.TLS, true);
      t.equal(told.structured, true);
      t.match(told.exports, [
        {
          'export-size': 48 * MIB,
          contexts: ['base:allocation', 'nbdloop:dirty', 'nbdloop:overlay'],
          can_multi_conn: true,
        },
      ]);
    });

    t.test(`nbdcopy with ${title} moves an image out bit by bit`, async (t) => {
      const copy = dir.file('copy.img');
      await runOk(tool('nbdcopy'), [uri, copy]);
      t.equal(await checksum(copy), expected);
    });
  }

  t.test('nbdcopy moves an image in bit by bit', async (t) => {
    const source = makeRandomFile(dir.file('source.img'), 48 * MIB);
    await runOk(tool('nbdcopy'), ['--flush', source, uris['a certificate']]);
    t.equal(await checksum(image), await checksum(source));
  });

  t.test('a stranger gets nothing', async (t) => {
    const wrong = dir.file('wrong.psk');
    writeFileSync(wrong, `${USER}:${'badbad'.repeat(10)}\nbob:00\n`);
    const strangers = {
      'without TLS': daemon.uri('loop0'),
      'without a certificate': certificateUri(daemon, files.anonymous),
      'with a wrong key': pskUri(daemon, wrong),
      'with an unknown name': pskUri(daemon, wrong, 'bob'),
    };
    for (const [title, uri] of Object.entries(strangers)) {
      const { status, stdout } = await run(tool('nbdinfo'), ['--json', '--no-content', uri]);
      t.not(status, 0, title);
      t.notMatch(stdout, 'export-size');
    }
    const { status, stderr } = await run(tool('nbdinfo'), ['--list', `nbd+unix:///?socket=${daemon.socket}`]);
    t.not(status, 0);
    t.notMatch(stderr, 'disk.img');
  });
});

t.test('QEMU over TLS', { skip: skipUnless('openssl', 'qemu-img') }, async (t) => {
  using dir = new TempDir();
  const files = await credentials(dir);
  const image = makeRandomFile(dir.file('disk.img'), 24 * MIB);
  await using daemon = await Daemon.start({
    devices: [image],
    args: [...certificateArgs(files), '--tls-psk', files.psk, '--tls-require'],
  });
  const nbd = `driver=nbd,server.type=unix,server.path=${daemon.socket},export=loop0,tls-creds=t`;
  const ways = {
    certificate: [`tls-creds-x509,id=t,endpoint=client,dir=${files.directory}`, ',tls-hostname=localhost'],
    key: [`tls-creds-psk,id=t,endpoint=client,dir=${files.pskDirectory},username=${USER}`, ''],
  };
  for (const [title, [object, more]] of Object.entries(ways)) {
    const args = ['compare', '--object', String(object), '--image-opts', `${nbd}${more}`];
    const told = await runOk(tool('qemu-img'), [...args, `driver=file,filename=${image}`]);
    t.match(told, 'Images are identical', title);
  }
});

t.test('nbd-client over TLS lists the exports', { skip: skipUnless('openssl', 'nbd-client') }, async (t) => {
  using dir = new TempDir();
  const files = await credentials(dir);
  const image = makeSparseFile(dir.file('disk.img'), MIB);
  const port = await freePort();
  await using daemon = await Daemon.start({
    devices: [image],
    port,
    args: [...certificateArgs(files), '--tls-require'],
  });
  const list = (...args: string[]) => run(tool('nbd-client'), ['-l', '127.0.0.1', String(port), ...args]);
  const { client, authority } = files;
  const told = await list(
    ...['-certfile', client.cert, '-keyfile', client.key],
    ...['-cacertfile', authority.cert, '-tlshostname', 'localhost'],
  );
  t.match(told.stdout, /^loop0/m);
  t.notMatch((await list()).stdout, 'loop0', 'and without TLS nothing');
  t.notOk(daemon.process.isOver);
});

const bothKinds = { skip: skipUnless('openssl', 'nbdcopy') };
t.test('where TLS is optional both kinds of client write to one device', bothKinds, async (t) => {
  using dir = new TempDir();
  const files = await credentials(dir);
  const image = makeSparseFile(dir.file('disk.img'), 16 * MIB);
  await using daemon = await Daemon.start({ devices: [image], args: certificateArgs(files) });
  const first = makeRandomFile(dir.file('first.img'), 16 * MIB);
  const second = makeRandomFile(dir.file('second.img'), 16 * MIB);
  await runOk(tool('nbdcopy'), ['--flush', first, certificateUri(daemon, files.directory)]);
  await runOk(tool('nbdcopy'), [daemon.uri('loop0'), dir.file('plain.img')]);
  t.equal(await checksum(dir.file('plain.img')), await checksum(first), 'written over TLS, read in plain');
  await runOk(tool('nbdcopy'), ['--flush', second, daemon.uri('loop0')]);
  await runOk(tool('nbdcopy'), [certificateUri(daemon, files.directory), dir.file('secret.img')]);
  t.equal(await checksum(dir.file('secret.img')), await checksum(second), 'written in plain, read over TLS');
});

t.test(
  'direct I/O is toggled under copies in and out over TLS, which stay exact',
  { skip: skipUnless('openssl', 'nbdcopy') },
  async (t) => {
    using dir = new TempDir();
    const files = await credentials(dir);
    const image = makeSparseFile(dir.file('disk.img'), 128 * MIB);
    const source = makeRandomFile(dir.file('source.img'), 128 * MIB);
    await using daemon = await Daemon.start({ devices: [image], args: ['--tls-psk', files.psk] });
    const uri = pskUri(daemon, files.psk);
    let toggles = 0;
    const copyUnderToggles = async (...args: string[]): Promise<void> => {
      await using copy = start(tool('nbdcopy'), args);
      while (!copy.isOver) await daemon.client.directIo(0, toggles++ % 2 === 0);
      const ended = await copy.wait(120_000);
      t.equal(ended.status, 0, describeFailure('nbdcopy', args, ended));
    };
    await copyUnderToggles('--flush', source, uri);
    t.equal(await checksum(image), await checksum(source), 'in');
    await copyUnderToggles(uri, dir.file('copy.img'));
    t.equal(await checksum(dir.file('copy.img')), await checksum(source), 'out');
    t.ok(toggles > 4, `${toggles} toggles`);
  },
);

/** Writes to its argument, an export, and says when it begins and when that was answered. */
const WRITER = `
import nbd, sys
h = nbd.NBD(); h.set_uri_allow_local_file(True); h.connect_uri(sys.argv[1])
print('writing', flush=True); h.pwrite(bytes(1 << 20), 0); print('written', flush=True)
`;

const hanging = { skip: skipWithoutFuse() || skipUnless('nbdinfo', 'python3') };
t.test('a client over TLS whose file system hangs stops nothing else', hanging, async (t) => {
  using dir = new TempDir();
  const psk = dir.file('keys.psk');
  writeFileSync(psk, `${USER}:${'c0ffee'.repeat(10)}\n`);
  await using mount = await FuseMount.mount();
  const image = makeSparseFile(dir.file('disk.img'), MIB);
  makeSparseFile(mount.real('x'), 4 * MIB);
  await using daemon = await Daemon.start({ devices: [image], args: ['--tls-psk', psk] });
  const { number } = await daemon.client.find({ file: mount.file('x') });
  mount.hang();
  const uri = pskUri(daemon, psk).replace('loop0', `loop${number}`);
  await using writer = start('/usr/bin/python3', ['-c', WRITER, uri]);
  await writer.waitForOutput(/writing/, 30_000);
  for (let round = 0; round < 3; round++) {
    t.ok((await daemon.client.list()).length > 1, 'the control API answers');
    for (const other of [pskUri(daemon, psk), daemon.uri('loop0')]) {
      t.equal((await runOk(tool('nbdinfo'), ['--size', other])).trim(), String(MIB), 'others are served');
    }
  }
  t.notMatch(writer.stdout, 'written', 'while it hangs');
  mount.goOn();
  await writer.waitForOutput(/written/, 30_000);
  t.equal((await writer.wait(30_000)).status, 0);
});

t.test('a daemon whose TLS cannot work does not start', { skip: skipUnless('openssl') }, async (t) => {
  using dir = new TempDir();
  const { server, psk } = await credentials(dir);
  writeFileSync(dir.file('junk'), 'junk');
  const cases: [string[], RegExp][] = [
    [['--tls-require'], /TLS cannot be required without a certificate.*EINVAL/],
    [['--tls-cert', server.cert], /certificate and its private key.*EINVAL/],
    [['--tls-cert', dir.file('none'), '--tls-key', server.key], /none cannot be read \(ENOENT\)/],
    [['--tls-cert', dir.file('junk'), '--tls-key', server.key], /TLS cannot use .*junk.*EINVAL/],
    [['--tls-psk', dir.file('junk')], /line 1 of .*junk is not 'user:hexkey' \(EINVAL\)/],
    [['--tls-psk', psk, '--tls-ca', server.cert], /needs a certificate of its own.*EINVAL/],
  ];
  for (const [args, message] of cases) {
    await using daemon = Daemon.launch(dir, { args, directory: dir });
    const { status, stderr } = await daemon.process.wait(30_000);
    t.equal(status, 1, args.join(' '));
    t.match(stderr, message);
    const said = stderr.split('\n').filter((line) => line.startsWith('nbdloopd: '));
    t.equal(said.length, 1, 'one sentence');
    t.notMatch(stderr, /^\s+at /m, 'no stack');
  }
});
