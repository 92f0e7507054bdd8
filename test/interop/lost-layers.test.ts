/** Overlays on a file system that gives descriptors up, and files that are opened anew before it does. */
import { mkdirSync, writeFileSync } from 'node:fs';
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
const ESHUTDOWN = 108;
const FUA = 1;
const write = (offset: number, fill: number) =>
  ({ type: Cmd.WRITE, offset, payload: Buffer.alloc(4096, fill) }) as const;
const read = (offset: number) => ({ type: Cmd.READ, offset, length: 4096 }) as const;
/** A session that is answered; undefined where there is none yet. */
async function served(daemon: Daemon): Promise<MixedSession | undefined> {
  try {
    const session = await MixedSession.open(daemon.socket, { mode: 'structured', name: 'loop0' });
    return (await session.ask(read(0))).error === 0 ? session : undefined;
  } catch {
    return undefined;
  }
}

const endOf = ({ stream }: MixedSession): Promise<void> =>
  new Promise((resolve) => {
    if (stream.destroyed) resolve();
    else stream.once('close', () => resolve());
  });

/** A daemon with one overlay. */
async function withOverlay(base: string, delta: string): Promise<Daemon> {
  const daemon = await Daemon.start();
  await daemon.cliOk('nbdlosetup', '--no-attach', '--overlay', delta, '-f', base);
  return daemon;
}

for (const where of ['delta', 'base'] as const) {
  t.test(
    `the ${where} of an overlay is lost: it is taken down as one, and had back whole`,
    { skip },
    async (t) => {
      await using mount = await FuseMount.mount();
      using beside = new TempDir();
      const name = makeRandomFile(where === 'base' ? mount.real('base') : beside.file('base'), MIB);
      const base = where === 'base' ? mount.file('base') : name;
      const delta = where === 'delta' ? mount.file('delta') : beside.file('delta');
      await using daemon = await withOverlay(base, delta);
      const session = await MixedSession.open(daemon.socket, { mode: 'structured', name: 'loop0' });
      t.equal((await session.ask({ ...write(0, 1), flags: FUA })).error, 0);
      t.equal((await session.ask(write(8192, 2))).error, 0, 'not flushed');
      const kept = (await session.ask(read(65536))).data;
      mount.set({ lost: 1 });
      // Of the base, what the page cache does not have.
      const touched = where === 'delta' ? { ...write(16384, 3), flags: FUA } : read(MIB / 2);
      const outcome = await session.ask(touched);
      t.equal(outcome.error, ESHUTDOWN);
      mount.set({ lost: 1, epoch: 1 });
      await endOf(session);
      const again = await until('it serves again', () => served(daemon));
      t.ok((await again.ask(read(0))).data.equals(Buffer.alloc(4096, 1)), 'what was flushed');
      t.ok((await again.ask(read(8192))).data.equals(Buffer.alloc(4096, 2)), 'what was written');
      t.ok((await again.ask(read(65536))).data.equals(kept), 'what the base has');
      t.equal((await again.ask({ ...write(16384, 4), flags: FUA })).error, 0);
      t.match(await daemon.client.layers(0), [{ kind: 'delta' }, { kind: 'base' }]);
    },
  );
}

t.test('a delta without a name does not come back: its device is given up', { skip }, async (t) => {
  await using mount = await FuseMount.mount();
  makeRandomFile(mount.real('base'), MIB);
  await using daemon = await Daemon.start();
  await daemon.cliOk('nbdlosetup', '--no-attach', '--temporary', '-f', mount.file('base'));
  const session = await MixedSession.open(daemon.socket, { mode: 'structured', name: 'loop0' });
  mount.set({ lost: 1 });
  t.equal((await session.ask(read(MIB / 2))).error, ESHUTDOWN);
  await until('it is given up', async () => {
    const devices = await daemon.client.list();
    return devices.every(({ state }) => state === 'unbound') ? true : undefined;
  });
});

/** What the mount tells of three bricks, each with so many descriptors. */
function tell(mount: FuseMount, ...descriptors: readonly (readonly number[])[]): void {
  const replicate = mount.real('.meta', 'graphs', 'active', 'v-replicate-0');
  mkdirSync(`${replicate}/subvolumes`, { recursive: true });
  writeFileSync(`${replicate}/type`, 'cluster/replicate\n');
  for (const [index, remotes] of descriptors.entries()) {
    const client = `${replicate}/subvolumes/${index}`;
    mkdirSync(client, { recursive: true });
    writeFileSync(`${client}/type`, 'protocol/client\n');
    const lines = remotes.map((remote, number) => `fd.${number}.remote_fd = ${remote}\n`);
    writeFileSync(`${client}/private`, `${lines.join('')}connected = 1\n`);
  }
}

t.test('what a brick does not have open is opened anew, before the rest goes', { skip }, async (t) => {
  await using mount = await FuseMount.mount({ type: 'glusterfs' });
  makeRandomFile(mount.real('x'), MIB);
  makeRandomFile(mount.real('base'), MIB);
  tell(mount, [0, 1], [0, 1], [0, 1]);
  await using daemon = await Daemon.start({ devices: [mount.file('x')], args: ['--exclusive'] });
  await daemon.cliOk('nbdlosetup', '--no-attach', '--overlay', mount.file('delta'), '-f', mount.file('base'));
  const sessions = await Promise.all(
    ['loop0', 'loop1'].map((name) => MixedSession.open(daemon.socket, { mode: 'structured', name })),
  );
  const opened = (): number =>
    `${daemon.process.stdout}${daemon.process.stderr}`.split('its file was opened anew').length - 1;
  mount.set({ epoch: 1 });
  tell(mount, [0, 1], [-1, -1], [0, 1]);
  await until('both are opened anew', async () => (opened() >= 2 ? true : undefined));
  mount.set({ epoch: 1, lost: 1 });
  for (const session of sessions) {
    t.equal((await session.ask({ ...write(0, 5), flags: FUA })).error, 0, 'the old descriptor is gone');
    t.equal((await session.ask(read(MIB / 2))).error, 0);
  }
  using directory = new TempDir();
  const other = Daemon.launch(directory, { devices: [mount.file('x')], args: ['--exclusive'] });
  t.match(await other.process.ended, { status: 1, stderr: /EBUSY/ }, 'and the lock is still there');
});
