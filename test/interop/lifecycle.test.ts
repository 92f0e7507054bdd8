import { chmodSync, existsSync, mkdirSync, readdirSync, unlinkSync } from 'node:fs';
import { resolve } from 'node:path';
import t from 'tap';
import { checksum } from '../helpers/checksum.js';
import { Daemon } from '../helpers/daemon.js';
import { nbdJob, startFio } from '../helpers/fio.js';
import { run, runOk } from '../helpers/process.js';
import { connectPeer } from '../helpers/raw-peers.js';
import { refusal } from '../helpers/refusal.js';
import { makeRandomFile, makeSparseFile, TempDir } from '../helpers/temp.js';
import { skipUnless, tool } from '../helpers/tools.js';
import { until } from '../helpers/until.js';

t.setTimeout(180_000);

const isRoot = process.getuid?.() === 0;

/**
 * Root may read every file. Without these capabilities it may what a file's mode says, and still reach a checkout that
 * other users may not enter.
 */
const withoutOverride = (): string[] => [
  tool('setpriv'),
  ...['--bounding-set', '-dac_override,-dac_read_search'],
];

/** What the command line promises of SIGTERM, in milliseconds. */
const DRAIN_LIMIT = 5_000;

t.test(
  'SIGTERM under load drains, removes the sockets and exits 0',
  { skip: skipUnless('fio') },
  async (t) => {
    using files = new TempDir();
    using directory = new TempDir();
    const image = makeSparseFile(files.file('disk.img'), 64 << 20);
    await using daemon = await Daemon.start({ directory, devices: [image] });
    await using fio = startFio(
      nbdJob(daemon.uri(), {
        rw: 'randrw',
        bs: '64k',
        iodepth: 16,
        size: '64m',
        time_based: true,
        runtime: 60,
      }),
    );
    await until('fio runs', async () =>
      (await daemon.client.device(0)).counters.writes > 100 ? true : undefined,
    );
    const ended = await daemon.stop(DRAIN_LIMIT);
    t.equal(ended.timedOut, false, 'it ends in time');
    t.equal(ended.status, 0, 'exit status', { ended });
    t.notOk(existsSync(daemon.socket), 'the NBD socket is gone');
    t.notOk(existsSync(daemon.control), 'the control socket is gone');
    fio.signalGroup('SIGKILL');
  },
);

t.test('SIGTERM while a peer says nothing still ends', async (t) => {
  await using daemon = await Daemon.start();
  const peers = await Promise.all(Array.from({ length: 5 }, () => connectPeer(daemon.socket)));
  const ended = await daemon.stop(DRAIN_LIMIT);
  for (const peer of peers) peer.destroy();
  t.equal(ended.timedOut, false);
  t.equal(ended.status, 0, 'exit status', { ended });
});

t.test('after SIGKILL the same paths serve again', { skip: skipUnless('nbdcopy') }, async (t) => {
  using files = new TempDir();
  using directory = new TempDir();
  const image = makeRandomFile(files.file('disk.img'), 8 << 20);
  const first = await Daemon.start({ directory, devices: [image] });
  await first.kill();
  t.ok(existsSync(first.socket), 'a killed daemon leaves its socket behind');
  await using second = await Daemon.start({ directory, devices: [image] });
  const copy = files.file('copy.img');
  await runOk(tool('nbdcopy'), [second.uri(), copy]);
  t.equal(await checksum(copy), await checksum(image));
});

t.test('a file that went away between a crash and the next start is not spoken of as served', async (t) => {
  using files = new TempDir();
  using directory = new TempDir();
  const image = makeSparseFile(files.file('disk.img'), 1 << 20);
  const first = await Daemon.start({ directory, devices: [image] });
  await first.kill();
  unlinkSync(image);
  await using second = await Daemon.start({ directory });
  t.match(second.process.stderr, /was not brought back/, 'it is said');
  await second.process.waitForOutput(/^no device yet/m);
  t.match(second.process.stdout, /^loop0 was not brought back: .*disk\.img does not exist/m);
  t.notMatch(second.process.stdout, /null|^loop0:/m);
});

t.test('a second daemon on the same sockets is refused and the first goes on', async (t) => {
  using directory = new TempDir();
  using files = new TempDir();
  const image = makeSparseFile(files.file('disk.img'), 1 << 20);
  await using first = await Daemon.start({ directory, devices: [image] });
  await using second = Daemon.launch(directory, {});
  const ended = await second.process.wait(30_000);
  t.equal(ended.timedOut, false, 'it gives up by itself');
  t.equal(ended.status, 1, 'exit status', { ended });
  t.match(ended.stderr, /already|in use|EADDRINUSE/i);
  t.ok(ended.stderr.includes(directory.path), 'the message names what is taken', { stderr: ended.stderr });
  t.notMatch(ended.stderr, /\n\s+at /, 'no stack trace');
  t.equal((await first.client.device(0)).state, 'bound');
  t.ok(existsSync(first.socket));
});

t.test(
  'files that cannot be bound are refused with their errno, and nothing is half-configured',
  async (t) => {
    using files = new TempDir();
    mkdirSync(files.file('directory'));
    const image = makeSparseFile(files.file('disk.img'), 1 << 20);
    await using daemon = await Daemon.start();
    const isUntouched = async (): Promise<void> => {
      const devices = await daemon.client.list();
      t.strictSame(
        devices.filter((device) => device.state !== 'unbound' || device.file !== null),
        [],
      );
      t.strictSame(
        devices.filter((device) => device.openers !== 0),
        [],
      );
    };
    const refuses = async (what: string, errno: string, ...args: string[]): Promise<void> => {
      const ended = await daemon.cli('nbdlosetup', '--no-attach', '-f', '--show', ...args);
      t.equal(ended.status, 1, `${what}: exit status`, { ended });
      t.equal(ended.stdout, '', `${what}: no device printed`);
      t.match(ended.stderr, errno, `${what}: errno`);
      t.equal(ended.stderr.trim().split('\n').length, 1, `${what}: one sentence`, { stderr: ended.stderr });
      await isUntouched();
    };
    await refuses('missing', 'EBADF', files.file('missing.img'));
    await refuses('directory', 'EINVAL', files.file('directory'));
    await refuses('character device', 'EINVAL', '/dev/null');
    await refuses('block size', 'EINVAL', '-b', '3000', image);
  },
);

t.test('an empty file makes a device of size 0, as in the kernel', async (t) => {
  using files = new TempDir();
  const image = makeSparseFile(files.file('empty.img'), 0);
  await using daemon = await Daemon.start();
  const ended = await daemon.cli('nbdlosetup', '--no-attach', '-f', '--show', image);
  t.equal(ended.status, 0, 'exit status', { ended });
  t.match(await daemon.client.device(0), { state: 'bound', size: 0, file: image });
});

t.test('a bound device refuses a second file and keeps its first', async (t) => {
  using files = new TempDir();
  const first = makeSparseFile(files.file('first.img'), 1 << 20);
  const second = makeSparseFile(files.file('second.img'), 2 << 20);
  await using daemon = await Daemon.start({ devices: [first] });
  t.equal(await refusal(daemon.client.configure(0, { file: second })), 'EBUSY');
  t.match(await daemon.client.device(0), { state: 'bound', size: 1 << 20, file: first });
});

t.test(
  'a file its daemon may not read is refused with EBADF',
  { skip: isRoot && skipUnless('setpriv') },
  async (t) => {
    using files = new TempDir();
    const image = makeSparseFile(files.file('secret.img'), 1 << 20);
    chmodSync(image, 0);
    await using daemon = await Daemon.start({ under: isRoot ? withoutOverride() : [] });
    t.equal(await refusal(daemon.client.find({ file: image })), 'EBADF');
    chmodSync(image, 0o400);
    t.match(
      await daemon.client.find({ file: image }),
      { readOnly: true },
      'what it may only read is read-only',
    );
  },
);

/** Root may read every file: there the daemon runs without that right. */
const NO_OVERRIDE = '--bounding-set=-dac_override,-dac_read_search';

t.test('a file it may not read ends the start of a daemon', { skip: skipUnless('setpriv') }, async (t) => {
  using files = new TempDir();
  const image = makeSparseFile(files.file('secret.img'), 1 << 20);
  chmodSync(image, 0);
  const options = ['--listen', 'none', '--unix', files.file('n.sock'), '--control', files.file('c.sock')];
  const ended = await run(tool('setpriv'), [
    ...(process.getuid?.() === 0 ? [NO_OVERRIDE] : []),
    ...[process.execPath, resolve('dist/bin/nbdloopd.js'), ...options, '--device', image],
  ]);
  t.match(ended, {
    status: 1,
    stderr: `nbdloopd: The file ${image} can't be opened: permission denied (EBADF)\n`,
  });
  t.strictSame(readdirSync(files.path).sort(), ['c.state', 'secret.img'], 'no socket and no lock is left');
});

t.test('a daemon whose file cannot be bound at start says so and ends', async (t) => {
  using files = new TempDir();
  using directory = new TempDir();
  await using daemon = Daemon.launch(directory, { devices: [files.file('missing.img')] });
  const ended = await daemon.process.wait(30_000);
  t.equal(ended.timedOut, false);
  t.equal(ended.status, 1, 'exit status', { ended });
  t.match(ended.stderr, 'missing.img');
  t.match(ended.stderr, 'EBADF');
});
