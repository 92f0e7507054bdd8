/** Snapshots on file systems that have clones, on loop devices of the kernel. */
import { existsSync, readFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import { Daemon } from '../helpers/daemon.js';
import { MountedDisk, skipWithoutMounts } from '../helpers/mounted-disk.js';
import { NbdRequests } from '../helpers/nbd-requests.js';
import { makeRandomFile, TempDir } from '../helpers/temp.js';

const MIB = 1 << 20;

t.setTimeout(120_000);

for (const kind of ['btrfs', 'xfs']) {
  t.test(
    `${kind}: a clone of a plain file is an image, and one of an overlay a delta`,
    { skip: skipWithoutMounts(kind) },
    async (t) => {
      using files = new TempDir();
      await using disk = await MountedDisk.make(kind);
      await cloneOnce(t, disk.path, files);
      await moveThereAndBack(t, disk.path, files);
    },
  );
}

async function cloneOnce(t: Test, mountPoint: string, files: TempDir): Promise<void> {
  const file = makeRandomFile(`${mountPoint}/disk.img`, 4 * MIB);
  const before = readFileSync(file);
  await using daemon = await Daemon.start({ devices: [file] });
  const client = await NbdRequests.open(daemon.socket);
  const snapshot = `${mountPoint}/snapshot`;
  t.match(
    await daemon.cliOk('nbdloop', 'snapshot', 'loop0', snapshot),
    /^loop0: \S+\/snapshot is a clone; requests waited [\d.]+ ms at most$/m,
  );
  await client.write(MIB, Buffer.alloc(4096, 1));
  t.ok(readFileSync(snapshot).equals(before), 'it stays as it was');
  const elsewhere = files.file('elsewhere');
  const refused = await daemon.cli('nbdloop', 'snapshot', 'loop0', elsewhere);
  t.match(refused, { status: 1, stderr: /is on another file system than .*disk\.img.*\(EXDEV\)/ });
  t.notOk(existsSync(elsewhere), 'nothing is left');

  const delta = `${mountPoint}/top.delta`;
  await daemon.client.find({ file: snapshot, overlay: { delta } });
  const writer = await NbdRequests.open(daemon.socket, 'loop1');
  await writer.write(512, Buffer.alloc(512, 2));
  const clone = `${mountPoint}/clone.delta`;
  t.match(
    await daemon.cliOk('nbdloop', 'snapshot', 'loop1', clone),
    /clone\.delta is a clone of the delta \S+\/top\.delta;/,
  );
  await writer.write(512, Buffer.alloc(512, 3));
  await daemon.client.find({ file: snapshot, overlay: { delta: clone } });
  const reader = await NbdRequests.open(daemon.socket, 'loop2');
  const meant = Buffer.from(before);
  meant.fill(2, 512, 1024);
  t.ok((await reader.read(0, 4 * MIB)).data.equals(meant), 'the clone has what was written before it, alone');
  t.equal((await writer.read(512, 1)).data[0], 3);
}

/** An overlay becomes a file on the other file system, and that one here. */
async function moveThereAndBack(t: Test, mountPoint: string, files: TempDir): Promise<void> {
  const base = makeRandomFile(files.file('base.img'), 4 * MIB);
  const meant = readFileSync(base).fill(1, MIB, MIB + 5000);
  await using daemon = await Daemon.start();
  await daemon.client.find({ file: base, overlay: { delta: files.file('base.delta') } });
  const client = await NbdRequests.open(daemon.socket);
  t.equal(await client.write(MIB, Buffer.alloc(5000, 1)), 0);
  for (const [index, file] of [`${mountPoint}/there.img`, files.file('back.img')].entries()) {
    await daemon.cliOk('nbdloop', 'move', 'loop0', file);
    t.match(await daemon.client.device(0), { file, layers: 1 });
    t.equal(await client.write(index * 100_000, Buffer.alloc(700, 9)), 0);
    meant.fill(9, index * 100_000, index * 100_000 + 700);
    t.ok((await client.read(0, 4 * MIB)).data.equals(meant));
  }
  await daemon.cliOk('nbdlosetup', '-d', 'loop0');
  t.ok(readFileSync(files.file('back.img')).equals(meant));
}
