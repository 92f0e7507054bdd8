/** What lies below a delta, or beside it, when the daemon is killed or the power goes; and many that are bound at a time. */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import t from 'tap';
import { Daemon } from '../helpers/daemon.js';
import { type FuseFaults, FuseMount, skipWithoutFuse } from '../helpers/fuse/fuse-mount.js';
import { NbdRequests } from '../helpers/nbd-requests.js';
import { TempDir } from '../helpers/temp.js';
import { until } from '../helpers/until.js';

const { EINVAL, EIO } = constants.errno;
const MIB = 1 << 20;
const BLOCK = 4096;
const skip = skipWithoutFuse();
t.setTimeout(180_000);

const filled = (byte: number, length = BLOCK): Buffer => Buffer.alloc(length, byte);

async function content(daemon: Daemon): Promise<Buffer> {
  const client = await NbdRequests.open(daemon.socket);
  const { data } = await client.read(0, MIB);
  client.destroy();
  return data;
}

/** loop0, once the daemon has brought it back. */
const back = (daemon: Daemon) =>
  until('it is back', async () =>
    (await daemon.client.list()).find(({ number, state }) => number === 0 && state === 'bound'),
  );

/** Writes a block, durable when this resolves. */
async function writeDurably(daemon: Daemon, at: number, byte: number): Promise<void> {
  const client = await NbdRequests.open(daemon.socket);
  await client.write(at, filled(byte));
  await client.flush();
  client.destroy();
}

t.test(
  'a FLUSH over an image that was written just before outlives a cut of the power',
  { skip },
  async (t) => {
    using directory = new TempDir();
    await using files = await FuseMount.mount({ volatile: true });
    const base = files.file('base');
    writeFileSync(base, filled(1, MIB), { flush: true });
    for (let round = 1; round <= 4; round++) {
      writeFileSync(base, filled(1 + round, MIB));
      const delta = files.file(`delta-${round}`);
      const first = await Daemon.start({ directory });
      await first.client.find({ file: base, overlay: { delta } });
      await writeDurably(first, BLOCK, 100);
      await first.kill();
      await files.cutPower(round);
      rmSync(directory.file('state'), { recursive: true, force: true });
      await using second = await Daemon.start({ directory });
      await second.client.find({ file: base, overlay: { delta } });
      const model = filled(1 + round, MIB);
      model.fill(100, BLOCK, 2 * BLOCK);
      t.ok((await content(second)).equals(model), `cut ${round}`);
      await second.kill();
      rmSync(directory.file('state'), { recursive: true, force: true });
    }
  },
);

// A file system that nobody writes has no fsync: squashfs says EINVAL.
t.test(
  'a base that has no fsync is taken as it is; one whose content is lost is refused',
  { skip },
  async (t) => {
    using files = new TempDir();
    await using mount = await FuseMount.mount();
    const base = mount.file('base');
    writeFileSync(base, filled(1, MIB));
    await using daemon = await Daemon.start();
    mount.set({ fail: { fsync: EIO } });
    const refused = daemon.client.find({ file: base, overlay: { delta: files.file('refused') } });
    await t.rejects(refused, /can't be synchronised/);
    t.notOk(existsSync(files.file('refused')));
    mount.set({ fail: { fsync: EINVAL } });
    const { number } = await daemon.client.find({ file: base, overlay: { delta: files.file('delta') } });
    t.equal(number, 0);
    t.ok((await content(daemon)).equals(filled(1, MIB)));
  },
);

// A file that is open is renamed by libfuse when it is removed.
const FAULTS: FuseFaults = { fail: { rename: EIO, unlink: EIO } };

for (const kind of ['commit', 'flatten'] as const) {
  t.test(
    `${kind}: the delta's name goes with the next daemon where it could not before`,
    { skip },
    async (t) => {
      using directory = new TempDir();
      await using files = await FuseMount.mount();
      const [base, delta] = [files.file('base'), files.file('delta')];
      writeFileSync(base, filled(1, MIB), { flush: true });
      const first = await Daemon.start({ directory });
      await first.client.find({ file: base, overlay: { delta } });
      await writeDurably(first, 0, 2);
      files.set(FAULTS);
      await (kind === 'commit' ? first.client.commit(0) : first.client.flatten(0));
      await until('it is done', async () => (await first.client.copyStatus(0)).state === 'done' || undefined);
      await writeDurably(first, 0, 3);
      t.ok(existsSync(delta), 'it is still there, and no longer what the device has');
      await first.kill();
      const second = await Daemon.start({ directory });
      t.not((await back(second)).file, delta);
      t.ok(existsSync(delta), 'nor could the next one');
      await writeDurably(second, 0, 4);
      await second.kill();
      files.set({});
      const third = await Daemon.start({ directory });
      const device = await back(third);
      t.equal(device.file, kind === 'commit' ? base : delta);
      t.equal(existsSync(delta), kind === 'flatten');
      t.ok((await content(third)).subarray(0, BLOCK).equals(filled(4)));
      if (kind === 'commit') writeFileSync(delta, 'mine');
      await third.kill();
      await using fourth = await Daemon.start({ directory });
      t.equal((await back(fourth)).file, device.file);
      if (kind === 'commit') t.equal(readFileSync(delta, 'utf8'), 'mine', 'who gets the name later keeps it');
    },
  );
}

t.test('as many as one likes get an overlay at a time', async (t) => {
  using files = new TempDir();
  const base = files.file('base');
  writeFileSync(base, filled(1, MIB));
  await using daemon = await Daemon.start();
  const find = (number: number): Promise<unknown> =>
    daemon.client.find({ file: base, overlay: { delta: files.file(`delta-${number}`) } });
  await Promise.all(Array.from({ length: 40 }, (_, number) => find(number)));
  t.equal((await daemon.client.list()).filter(({ layers }) => layers === 2).length, 40);
});
