/** Overlays, and copies of devices, whose disks are full or fail. */
import { existsSync, linkSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from 'node:fs';
import { dirname } from 'node:path';
import t, { type Test } from 'tap';
import { checksum } from '../helpers/checksum.js';
import { Daemon } from '../helpers/daemon.js';
import { FullDisk, HalfDisk, skipWithoutFailingDisks } from '../helpers/failing-disks.js';
import { FuseMount, skipWithoutFuse } from '../helpers/fuse/fuse-mount.js';
import { NbdRequests } from '../helpers/nbd-requests.js';
import { runOk } from '../helpers/process.js';
import { makeRandomFile, TempDir } from '../helpers/temp.js';
import { skipUnless, tool } from '../helpers/tools.js';

const MIB = 1 << 20;
t.setTimeout(180_000);
const BLOCK = 4096;
const NO_DISKS = skipWithoutFailingDisks();
const ENOSPC = 28;

/** Of a file system of its own, which `disk` is. */
const beside = ({ file }: FullDisk, name: string): string => `${dirname(file)}/${name}`;

const resize = (disk: FullDisk, options: string): Promise<unknown> =>
  runOk(tool('mount'), ['-o', `remount,${options}`, dirname(disk.file)]);

/** A disk as it is read, and what it must read as: of a write that failed, each sector is old or new. */
class Model {
  readonly #failed: { readonly at: number; readonly data: Buffer }[] = [];
  constructor(readonly bytes: Buffer) {}

  async write(client: NbdRequests, at: number, data: Buffer): Promise<number> {
    const error = await client.write(at, data);
    if (error === 0) data.copy(this.bytes, at);
    else this.#failed.push({ at, data });
    return error;
  }

  isWhat(found: Buffer): boolean {
    const meant = Buffer.from(this.bytes);
    for (const { at, data } of this.#failed) {
      for (let from = at; from < at + data.length; ) {
        const to = Math.min((Math.floor(from / 512) + 1) * 512, at + data.length);
        const isNew = found.subarray(from, to).equals(data.subarray(from - at, to - at));
        if (isNew) data.copy(meant, from, from - at, to - at);
        from = to;
      }
    }
    return meant.equals(found);
  }
}

/** Writes blocks and parts of blocks, every fourth block, until one fails. */
async function fill(client: NbdRequests, which: number, model: Model): Promise<number> {
  const size = model.bytes.length;
  for (let block = which, count = 0; block * BLOCK < size; block += 4, count++) {
    const [from, length] = count % 3 === 0 ? [700, 1000] : [0, BLOCK];
    const error = await model.write(client, block * BLOCK + from, Buffer.alloc(length, which + count));
    if (error !== 0) return error;
  }
  return 0;
}

t.test(
  'a delta whose disk is full: what was answered stays, a FLUSH is one, and it goes on when there is room',
  { skip: NO_DISKS },
  async (t) => {
    using files = new TempDir();
    await using disk = await FullDisk.make(3 * MIB, 0);
    const image = makeRandomFile(files.file('gold.img'), 16 * MIB);
    const delta = beside(disk, 'top');
    const model = new Model(readFileSync(image));
    await using daemon = await Daemon.start();
    await daemon.cliOk('nbdlosetup', '--no-attach', '--overlay', delta, '-f', image);
    const clients = await Promise.all([0, 1, 2, 3].map(() => NbdRequests.open(daemon.socket)));
    const [first] = clients as [NbdRequests];
    const all = async (): Promise<Buffer> => (await first.read(0, 16 * MIB)).data;
    const errors = await Promise.all(clients.map((client, which) => fill(client, which, model)));
    t.strictSame(errors, [ENOSPC, ENOSPC, ENOSPC, ENOSPC]);
    t.ok(model.isWhat(await all()), 'what was answered stays, what was not is old or new');
    t.equal(await first.flush(), 0, 'what was answered is durable');
    t.match(
      await daemon.cliOk('nbdloop', 'delta', 'check', delta),
      /writes it at this moment\n.*nothing is wrong/,
    );
    for (const client of clients) await client.leave();
    await daemon.cliOk('nbdlosetup', '-d', 'loop0');
    t.match(await daemon.cliOk('nbdloop', 'delta', 'check', delta), /^\S+: nothing is wrong$/m);
    await daemon.cliOk('nbdlosetup', '--no-attach', '--overlay', delta, '-f', image);
    t.ok(
      model.isWhat(await (await NbdRequests.open(daemon.socket)).read(0, 16 * MIB).then(({ data }) => data)),
    );
    await resize(disk, 'size=32m');
    const again = await Promise.all([0, 1, 2, 3].map(() => NbdRequests.open(daemon.socket)));
    t.strictSame(await Promise.all(again.map((client, which) => fill(client, which, model))), [0, 0, 0, 0]);
    const [now] = again as [NbdRequests];
    t.equal(await now.flush(), 0);
    t.ok(model.isWhat((await now.read(0, 16 * MIB)).data));
  },
);

t.test(
  'a copy whose target is full is given up, and can be had when there is room',
  { skip: NO_DISKS || skipUnless('nbdcopy') },
  async (t) => {
    using files = new TempDir();
    await using disk = await FullDisk.make(2 * MIB, 8 * MIB);
    const image = makeRandomFile(files.file('gold.img'), 8 * MIB);
    const before = await checksum(image);
    await using daemon = await Daemon.start();
    const content = async (name: string): Promise<string> => {
      await runOk(tool('nbdcopy'), [daemon.uri(name), files.file('copy')]);
      return await checksum(files.file('copy'));
    };
    await daemon.cliOk('nbdlosetup', '--no-attach', '--overlay', files.file('top'), '-f', image);
    for (const kind of ['move', 'flatten']) {
      const said = await daemon.cli('nbdloop', kind, 'loop0', beside(disk, 'new'));
      t.match(said, { status: 1, stderr: /new can't be written \(ENOSPC\): the copy was given up/ }, kind);
      t.notOk(existsSync(beside(disk, 'new')), 'and it is gone');
      t.equal(await content('loop0'), before);
      t.match(await daemon.client.device(0), { file: image, layers: 2 });
    }
    // The base has no room for what the delta holds.
    const delta = files.file('over sparse');
    await daemon.cliOk('nbdlosetup', '--no-attach', '--overlay', delta, '-f', disk.file);
    await runOk(tool('nbdcopy'), ['--flush', image, daemon.uri('loop1')]);
    const said = await daemon.cli('nbdloop', 'commit', 'loop1');
    t.match(said, { status: 1, stderr: /sparse\.img can't be written \(ENOSPC\): the copy was given up/ });
    t.equal(await content('loop1'), before, 'the overlay is whole');
    t.match(await daemon.cliOk('nbdloop', 'delta', 'check', delta), /nothing is wrong/);
    await resize(disk, 'size=32m');
    await daemon.cliOk('nbdloop', 'commit', 'loop1');
    t.equal(await content('loop1'), before);
    t.notOk(existsSync(delta));
    await daemon.cliOk('nbdloop', 'move', 'loop0', beside(disk, 'new'));
    t.equal(await content('loop0'), before);
  },
);

t.test('a device that can not be read is not copied, and that is said', { skip: NO_DISKS }, async (t) => {
  using files = new TempDir();
  await using disk = await HalfDisk.make(4 * MIB);
  await using daemon = await Daemon.start();
  await daemon.cliOk('nbdlosetup', '--no-attach', '--overlay', files.file('top'), '-f', disk.path);
  for (const kind of ['move', 'flatten']) {
    const said = await daemon.cli('nbdloop', kind, 'loop0', files.file('new'));
    t.match(said, { status: 1, stderr: /loop0 can't be read \(EIO\): the copy was given up/ }, kind);
    t.notOk(existsSync(files.file('new')));
  }
  t.match(await daemon.client.device(0), { file: disk.path, layers: 2, state: 'bound' });
  const client = await NbdRequests.open(daemon.socket);
  t.equal(await client.write(0, Buffer.alloc(BLOCK, 1)), 0);
  await daemon.cliOk('nbdloop', 'commit', 'loop0');
  t.match(await daemon.client.device(0), { file: disk.path, layers: 1 }, 'what the delta holds can be read');
});

t.test(
  'a name that is taken, or can not be had, is no target, and stays what it is',
  { skip: NO_DISKS },
  async (t) => {
    using files = new TempDir();
    await using disk = await FullDisk.make(2 * MIB, MIB);
    const image = makeRandomFile(files.file('a.img'), MIB);
    const other = makeRandomFile(files.file('b.img'), MIB);
    linkSync(image, files.file('hard'));
    symlinkSync(image, files.file('symbolic'));
    symlinkSync(files.file('nowhere'), files.file('dangling'));
    mkdirSync(files.file('directory'));
    await resize(disk, 'ro');
    await using daemon = await Daemon.start({ devices: [image, other] });
    const before = [await checksum(image), await checksum(other)];
    const targets: readonly (readonly [name: string, errno: string])[] = [
      [image, 'EEXIST'],
      [other, 'EEXIST'],
      [files.file('hard'), 'EEXIST'],
      [files.file('symbolic'), 'EEXIST'],
      [files.file('dangling'), 'EEXIST'],
      [files.file('directory'), 'EEXIST'],
      [disk.file, 'EEXIST'],
      ['/dev/null', 'EEXIST'],
      [beside(disk, 'new'), 'EROFS'],
      [files.file('no', 'such'), 'ENOENT'],
      [`${image}/new`, 'ENOTDIR'],
      [files.file('n'.repeat(300)), 'ENAMETOOLONG'],
    ];
    for (const [file, errno] of targets) {
      const said = await daemon.client.move(0, file).then(
        () => 'done',
        (error: { errno?: string }) => error.errno,
      );
      t.equal(said, errno, file.slice(0, 80));
    }
    t.strictSame([await checksum(image), await checksum(other)], before);
    t.match(readdirSync(files.path).sort(), ['a.img', 'b.img', 'dangling', 'directory', 'hard', 'symbolic']);
    t.match(await daemon.client.device(0), { file: image, state: 'bound' });
  },
);

interface Places {
  readonly mount: FuseMount;
  readonly files: TempDir;
  readonly daemon: Daemon;
}

/** An overlay, loop0, whose delta is on the mount, and that was written to; `model`: what it reads as. */
async function writtenOverlay(t: Test, { mount, files, daemon }: Places) {
  const image = makeRandomFile(files.file('gold.img'), MIB);
  const delta = mount.file('top');
  await daemon.client.find({ file: image, overlay: { delta } });
  const client = await NbdRequests.open(daemon.socket);
  const model = readFileSync(image).fill(7, 5000, 9000);
  t.equal(await client.write(5000, Buffer.alloc(4000, 7)), 0);
  return { image, delta, client, model };
}

t.test(
  'a snapshot whose directory can not be made durable is none: the delta has its name and its content',
  { skip: skipWithoutFuse() },
  async (t) => {
    await using mount = await FuseMount.mount();
    using files = new TempDir();
    await using daemon = await Daemon.start();
    const { image, delta, client, model } = await writtenOverlay(t, { mount, files, daemon });
    mount.set({ fail: { fsyncdir: 5 } });
    const snapshot = { devices: [{ number: 0, file: mount.file('snapshot') }] };
    const said = await daemon.client.snapshot(snapshot).catch((error: { errno?: string }) => error.errno);
    t.equal(said, 'EIO');
    mount.set({});
    t.strictSame(readdirSync(mount.real()), ['top']);
    t.ok((await client.read(0, MIB)).data.equals(model));
    t.match(await daemon.client.snapshot(snapshot), [{ kind: 'sealed' }], 'it can be had afterwards');
    t.ok((await client.read(0, MIB)).data.equals(model));
    await daemon.client.clear(0, { force: true });
    await daemon.client.configure(0, { file: image, overlay: { delta } });
    t.ok((await (await NbdRequests.open(daemon.socket)).read(0, MIB)).data.equals(model));
  },
);

t.test(
  "a flatten that can't have the delta's name at the end keeps its file under the name that it has",
  { skip: skipWithoutFuse() },
  async (t) => {
    await using mount = await FuseMount.mount();
    using files = new TempDir();
    await using daemon = await Daemon.start();
    const { delta, client, model } = await writtenOverlay(t, { mount, files, daemon });
    mount.set({ fail: { rename: 5 } });
    await daemon.cliOk('nbdloop', 'flatten', 'loop0');
    mount.set({});
    const { file } = await daemon.client.device(0);
    t.match(file, /\/top\.[0-9a-f]{8}$/);
    t.match(await daemon.client.copyStatus(0), { state: 'done', file });
    t.equal(await client.write(0, Buffer.alloc(512, 8)), 0);
    model.fill(8, 0, 512);
    t.ok((await client.read(0, MIB)).data.equals(model));
    await daemon.client.clear(0, { force: true });
    t.ok(readFileSync(file as string).equals(model), 'and it is whole');
    t.ok(existsSync(delta), 'the delta is there, too');
  },
);
