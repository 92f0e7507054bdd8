/** A file that is lost takes its device down as one, and comes back by itself or is given up. */
import { hostname } from 'node:os';
import t from 'tap';
import { Cmd } from '../../server/wire/constants.js';
import { Daemon } from '../helpers/daemon.js';
import { FuseMount, skipWithoutFuse } from '../helpers/fuse/fuse-mount.js';
import { MixedSession } from '../helpers/mixed-session.js';
import { makeRandomFile, TempDir } from '../helpers/temp.js';
import { until } from '../helpers/until.js';

t.setTimeout(180_000);

const skip = skipWithoutFuse();
const MIB = 1 << 20;
const [EIO, EBADFD, ENOTCONN, ESTALE, ESHUTDOWN] = [5, 77, 107, 116, 108];
const READ = { type: Cmd.READ, offset: 0, length: 4096 } as const;
const WRITE = { type: Cmd.WRITE, offset: 0, payload: Buffer.alloc(4096, 7) } as const;

const isLost = async (daemon: Daemon): Promise<boolean> =>
  (await daemon.client.device(0)).warnings.some((warning) => warning.startsWith('its file is lost'));
const endOf = ({ stream }: MixedSession): Promise<void> =>
  new Promise((resolve) => {
    if (stream.destroyed) resolve();
    else stream.once('close', () => resolve());
  });
const openable = (daemon: Daemon, name = 'loop0') =>
  MixedSession.open(daemon.socket, { mode: 'structured', name }).catch(() => undefined);

for (const [name, errno] of Object.entries({ EBADFD, ENOTCONN, ESTALE })) {
  t.test(`${name} of a write: sessions are told and ended, and the file is had back`, { skip }, async (t) => {
    await using mount = await FuseMount.mount();
    const image = makeRandomFile(mount.real('x'), MIB);
    await using daemon = await Daemon.start({ devices: [mount.file('x')] });
    const { uuid } = await daemon.client.device(0);
    const session = await MixedSession.open(daemon.socket, { mode: 'structured', name: 'loop0' });
    const other = await MixedSession.open(daemon.socket, { mode: 'structured', name: 'loop0' });
    t.equal((await session.ask(READ)).error, 0, 'what the page cache has now');
    mount.set({ fail: { write: errno, open: errno } });
    t.equal((await session.ask({ ...WRITE, flags: 1 })).error, ESHUTDOWN);
    t.equal((await session.ask(READ)).error, ESHUTDOWN, 'nothing comes from the page cache');
    t.equal((await other.ask(READ)).error, ESHUTDOWN, 'nor to another session');
    await Promise.all([endOf(session), endOf(other)]);
    await until('the device says so', async () => ((await isLost(daemon)) ? true : undefined));
    t.equal(await openable(daemon), undefined, 'nobody gets in');
    mount.set({});
    const again = await until('it serves again', () => openable(daemon));
    t.equal((await again.ask(WRITE)).error, 0);
    t.match(await daemon.client.device(0), { uuid, state: 'bound' }, 'it is what it was');
    t.notOk(await isLost(daemon));
    t.ok(image);
  });
}

t.test(
  'a client of simple replies, as the kernel is, hears of no error: it sends again',
  { skip },
  async (t) => {
    await using mount = await FuseMount.mount();
    makeRandomFile(mount.real('x'), MIB);
    await using daemon = await Daemon.start({ devices: [mount.file('x')] });
    const session = await MixedSession.open(daemon.socket, { mode: 'simple', name: 'loop0' });
    mount.set({ fail: { write: EBADFD } });
    const answered = await session.ask({ ...WRITE, flags: 1 }).catch((error: Error) => error);
    t.type(answered, Error, 'the session ends without a word');
    mount.set({});
    await until('it serves again', () => openable(daemon));
  },
);

t.test('a plain EIO is the disk’s, unless the lock is gone', { skip }, async (t) => {
  await using mount = await FuseMount.mount({ locks: true });
  makeRandomFile(mount.real('x'), MIB);
  await using daemon = await Daemon.start({ devices: [mount.file('x')] });
  const session = await MixedSession.open(daemon.socket, { mode: 'structured', name: 'loop0' });
  mount.set({ fail: { write: EIO } });
  t.equal((await session.ask({ ...WRITE, flags: 1 })).error, EIO);
  mount.set({});
  t.equal((await session.ask(WRITE)).error, 0, 'the session goes on');
  mount.set({ fail: { write: EIO, lock: EBADFD } });
  t.equal((await session.ask({ ...WRITE, flags: 1 })).error, EIO);
  await endOf(session);
  mount.set({});
  const again = await until('it serves again', () => openable(daemon));
  t.equal((await again.ask(WRITE)).error, 0);
});

t.test(
  'where another host may have the file any doubt counts, and another holder ends it',
  { skip },
  async (t) => {
    await using mount = await FuseMount.mount({ locks: true });
    makeRandomFile(mount.real('x'), MIB);
    const args = ['--cluster', '--name', 'disk'];
    await using daemon = await Daemon.start({ devices: [mount.file('x')], args });
    const { uuid } = await daemon.client.device(0);
    t.match(await daemon.client.device(0), { directIo: true, exportName: 'disk' });
    const session = await MixedSession.open(daemon.socket, { mode: 'structured', name: 'disk' });
    mount.set({ fail: { write: EIO } });
    t.equal((await session.ask(WRITE)).error, ESHUTDOWN, 'EIO is a doubt');
    await endOf(session);
    mount.set({});
    const again = await until('it serves again', () => openable(daemon, 'disk'));
    t.equal((await again.ask(WRITE)).error, 0);
    // The server has given the lock to another: asking again is refused.
    mount.set({ fail: { lock: 11 } });
    await endOf(again);
    await until('it is given up', async () => {
      const devices = await daemon.client.list();
      return devices.every(({ state }) => state === 'unbound') ? true : undefined;
    });
    mount.set({});
    await daemon.stop();
    await using next = await Daemon.start({ devices: [mount.file('x')], args });
    t.equal((await next.client.device(0)).uuid, uuid, 'every host gives it the same identity');
  },
);

t.test('--exclusive wait=S waits for another daemon, which is named', { skip }, async (t) => {
  using files = new TempDir();
  const image = makeRandomFile(files.file('x'), MIB);
  const holder = await Daemon.start({ devices: [image], args: ['--exclusive'] });
  using directory = new TempDir();
  const refused = Daemon.launch(directory, { devices: [image], args: ['--exclusive'] });
  const ended = await refused.process.ended;
  t.equal(ended.status, 1);
  t.match(ended.stderr, new RegExp(`served for writing by .*process ${holder.pid}`));
  const waiting = Daemon.launch(directory, { devices: [image], args: ['--exclusive', 'wait=60'] });
  await using elsewhere = waiting;
  await holder.stop();
  await until('it serves', () => openable(elsewhere));
  t.ok(hostname());
});

t.test('--cluster wants names', async (t) => {
  using files = new TempDir();
  const image = makeRandomFile(files.file('x'), MIB);
  using directory = new TempDir();
  const ended = await Daemon.launch(directory, { devices: [image], args: ['--cluster'] }).process.ended;
  t.equal(ended.status, 1);
  t.match(ended.stderr, /--cluster each --device has a --name.*EINVAL/);
});
