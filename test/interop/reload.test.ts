/** What a running daemon reads anew: certificates, keys, permissions and limits, and what becomes of those who are connected. */

import { randomBytes } from 'node:crypto';
import {
  appendFileSync,
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { type Pair, selfSigned, signedBy } from '../helpers/certificates.js';
import { Daemon, freePort } from '../helpers/daemon.js';
import { type RunningProcess, run, start } from '../helpers/process.js';
import { makeSparseFile, TempDir } from '../helpers/temp.js';
import { skipUnless, tool } from '../helpers/tools.js';
import { until } from '../helpers/until.js';

t.setTimeout(300_000);

const SIZE = 1 << 20;
/** Debian's, which has libnbd's module. */
const PYTHON = '/usr/bin/python3';

/** What nbdinfo says of an export's size; the reason where it does not get there. */
const sizeAt = async (uri: string): Promise<string> => {
  const ended = await run(tool('nbdinfo'), ['--size', uri], { timeoutMs: 30_000 });
  return ended.status === 0 ? ended.stdout.trim() : ended.stderr.trim();
};
const isServed = async (uri: string): Promise<boolean> => (await sizeAt(uri)) === String(SIZE);

/** A client that stays connected, and reads once the file that its second argument names is there. */
const RESTING = `
import nbd, os, sys, time
h = nbd.NBD(); h.set_uri_allow_local_file(True); h.connect_uri(sys.argv[1])
print('connected', flush=True)
while not os.path.exists(sys.argv[2]): time.sleep(0.05)
try:
    h.pread(512, 0); print('read', flush=True)
except nbd.Error: print('failed', flush=True)
`;
const restingClient = async (uri: string, wake: string): Promise<RunningProcess> => {
  const client = start(PYTHON, ['-c', RESTING, uri, wake]);
  await client.waitForOutput(/connected/, 60_000);
  return client;
};

interface Authority {
  readonly server: Pair;
  /** A directory for libnbd: ca-cert.pem alone. */
  readonly trust: string;
}

async function authority(dir: TempDir, name: string): Promise<Authority> {
  const pair = await selfSigned(dir, `${name}-ca`);
  const server = await signedBy(dir, pair, `${name}-server`);
  const trust = dir.file(`${name}-trust`);
  mkdirSync(trust);
  copyFileSync(pair.cert, `${trust}/ca-cert.pem`);
  return { server, trust };
}

/** As a renewal does it: each file is replaced at once. */
function install({ cert, key }: Pair, to: Pair): void {
  for (const [from, path] of [
    [cert, to.cert],
    [key, to.key],
  ] as const) {
    copyFileSync(from, `${path}.new`);
    renameSync(`${path}.new`, path);
  }
}

const skip = skipUnless('openssl', 'nbdinfo', 'python3');

t.test(
  'a renewed certificate is served by itself; a broken pair is told, and the old one stays',
  { skip },
  async (t) => {
    using dir = new TempDir();
    const [first, second] = [await authority(dir, 'first'), await authority(dir, 'second')];
    const live: Pair = { cert: dir.file('live.pem'), key: dir.file('live.key') };
    install(first.server, live);
    const port = await freePort();
    await using daemon = await Daemon.start({
      port,
      devices: [makeSparseFile(dir.file('disk.img'), SIZE)],
      args: ['--tls-cert', live.cert, '--tls-key', live.key, '--tls-require'],
    });
    // Over a Unix socket libnbd takes any certificate.
    const uri = ({ trust }: Authority): string => `nbds://localhost:${port}/loop0?tls-certificates=${trust}`;
    t.ok(await isServed(uri(first)));
    await using old = await restingClient(uri(first), dir.file('wake'));

    install(second.server, live);
    await until('the new certificate is served', async () =>
      (await isServed(uri(second))) ? true : undefined,
    );
    t.notOk(await isServed(uri(first)), 'and the old one no more');
    writeFileSync(dir.file('wake'), '');
    await old.waitForOutput(/read/, 60_000);
    t.pass('who was connected goes on');

    writeFileSync(live.key, 'garbage\n');
    const reloaded = await daemon.cli('nbdloop', 'reload');
    t.match(reloaded, { status: 1, stderr: /live\.key/ }, 'a reload that is asked for says what is wrong');
    t.match((await daemon.client.daemon()).settings.error, /live\.key/, 'and the status does');
    t.match(await daemon.cliOk('nbdloop', 'status'), /newer ones cannot be used: .*live\.key/);
    t.ok(await isServed(uri(second)), 'the pair before is in force');

    install(second.server, live);
    t.equal(await daemon.cliOk('nbdloop', 'reload'), '');
    t.equal((await daemon.client.daemon()).settings.error, null);
  },
);

const newKey = (user: string): string => `${user}:${randomBytes(32).toString('hex')}\n`;

t.test(
  'users of pre-shared keys come and go; with --drop-revoked their sessions end',
  { skip },
  async (t) => {
    for (const revoked of ['stay', 'drop'] as const) {
      using dir = new TempDir();
      const [alice, bob] = [newKey('alice'), newKey('bob')];
      const keys = dir.file('keys.psk');
      writeFileSync(keys, alice);
      const both = dir.file('both.psk');
      writeFileSync(both, alice + bob);
      await using daemon = await Daemon.start({
        devices: [makeSparseFile(dir.file('disk.img'), SIZE)],
        args: ['--tls-psk', keys, '--tls-require', ...(revoked === 'drop' ? ['--drop-revoked'] : [])],
      });
      const uri = (user: string): string =>
        `nbds+unix://${user}@/loop0?socket=${daemon.socket}&tls-psk-file=${both}`;
      t.ok(await isServed(uri('alice')));
      t.notOk(await isServed(uri('bob')));
      appendFileSync(keys, bob);
      daemon.process.signal('SIGHUP');
      await until('bob is let in', async () => ((await isServed(uri('bob'))) ? true : undefined));
      await using resting = await restingClient(uri('alice'), dir.file('wake'));
      writeFileSync(keys, bob);
      await daemon.cliOk('nbdloop', 'reload');
      t.notOk(await isServed(uri('alice')), 'alice is gone');
      writeFileSync(dir.file('wake'), '');
      await resting.waitForOutput(revoked === 'drop' ? /failed/ : /read/, 60_000);
      t.pass(`her session: ${revoked}`);
    }
  },
);

/** Whether a process is told of what happens in a directory. */
function isWatching(pid: number, directory: string): boolean {
  const sign = `ino:${statSync(directory).ino.toString(16)} `;
  const infos = `/proc/${pid}/fdinfo`;
  return readdirSync(infos).some((fd) => {
    try {
      return readFileSync(join(infos, fd), 'utf8').includes(sign);
    } catch {
      return false; // closed meanwhile
    }
  });
}

t.test('where others write all the time, changes are found by looking', { skip }, async (t) => {
  using dir = new TempDir();
  const [alice, bob] = [newKey('alice'), newKey('bob')];
  mkdirSync(dir.file('keys'));
  const keys = dir.file('keys', 'live.psk');
  writeFileSync(keys, alice);
  const both = dir.file('both.psk');
  writeFileSync(both, alice + bob);
  await using daemon = await Daemon.start({
    devices: [makeSparseFile(dir.file('disk.img'), SIZE)],
    args: ['--tls-psk', keys, '--tls-require'],
  });
  const pid = daemon.process.pid;
  t.ok(isWatching(pid, dir.file('keys')));
  const busy = setInterval(() => writeFileSync(dir.file('keys', 'busy'), 'x'), 5);
  try {
    await until(
      'nothing wakes the daemon any more',
      async () => !isWatching(pid, dir.file('keys')) || undefined,
    );
    appendFileSync(keys, bob);
    const uri = `nbds+unix://bob@/loop0?socket=${daemon.socket}&tls-psk-file=${both}`;
    await until('bob is let in', async () => (await isServed(uri)) || undefined);
  } finally {
    clearInterval(busy);
  }
  await until('it is told again', async () => isWatching(pid, dir.file('keys')) || undefined);
});

t.test('--tls-allow says who may use what; others do not even see it', { skip }, async (t) => {
  using dir = new TempDir();
  const keys = dir.file('keys.psk');
  writeFileSync(keys, ['alice', 'bob', 'carol'].map(newKey).join(''));
  const pair = await selfSigned(dir, 'ca');
  const server = await signedBy(dir, pair, 'server');
  const client = await signedBy(dir, pair, 'client');
  const trust = dir.file('trust');
  mkdirSync(trust);
  copyFileSync(pair.cert, `${trust}/ca-cert.pem`);
  copyFileSync(client.cert, `${trust}/client-cert.pem`);
  copyFileSync(client.key, `${trust}/client-key.pem`);
  const port = await freePort();
  const config = dir.file('nbdloopd.conf');
  const rules = ['*=psk:alice', 'loop0:ro=psk:bob', 'loop1=dn:CN=client'];
  writeFileSync(config, rules.map((rule) => `tls-allow ${rule}\n`).join(''));
  await using daemon = await Daemon.start({
    port,
    devices: ['a', 'b'].map((name) => makeSparseFile(dir.file(name), SIZE)),
    args: [
      ...['--tls-psk', keys, '--tls-cert', server.cert, '--tls-key', server.key, '--tls-ca', pair.cert],
      ...['--config', config],
    ],
  });
  const psk = (user: string, name: string): string =>
    `nbds://${user}@127.0.0.1:${port}/${name}?tls-psk-file=${keys}`;
  const certified = (name: string): string => `nbds://localhost:${port}/${name}?tls-certificates=${trust}`;
  const uses: [string, boolean][] = [
    [psk('alice', 'loop0'), true],
    [psk('alice', 'loop1'), true],
    [psk('bob', 'loop0'), true],
    [psk('bob', 'loop1'), false],
    [psk('carol', 'loop0'), false],
    [certified('loop1'), true],
    [certified('loop0'), false],
    [`nbd://127.0.0.1:${port}/loop0`, false],
    [daemon.uri('loop0'), true],
  ];
  for (const [uri, may] of uses) t.equal(await isServed(uri), may, uri);
  const isReadOnly = async (uri: string): Promise<boolean> =>
    (await run(tool('nbdinfo'), ['--is', 'read-only', uri])).status === 0;
  t.ok(await isReadOnly(psk('bob', 'loop0')), 'read-only where the rule says so');
  t.notOk(await isReadOnly(psk('alice', 'loop0')));
  const listed = JSON.parse((await run(tool('nbdinfo'), ['--list', '--json', psk('bob', '')])).stdout);
  t.match(listed.exports, [{ 'export-name': 'loop0' }], 'a list has what may be used');
  t.equal(listed.exports.length, 1);

  appendFileSync(config, 'tls-allow *:ro=psk:carol\nallow 127.0.0.0/8\nmax-connections 3\n');
  await until('carol is let in', async () => ((await isServed(psk('carol', 'loop0'))) ? true : undefined));
  appendFileSync(config, 'no-such-option 1\n');
  t.match(await daemon.cli('nbdloop', 'reload'), { status: 1, stderr: /no-such-option/ });
  t.ok(await isServed(psk('carol', 'loop0')), 'what was read before stays');
});
