/** What is read is what the file holds, whatever the file system says of holes. */
import { mkdirSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import t from 'tap';
import { BackingFile } from '../../driver/io/backing-file.js';
import { tellsHoles } from '../../driver/io/exact-holes.js';
import { type Extents, extentAt } from '../../driver/io/extents.js';
import { fdatasync } from '../../driver/io/file-calls.js';
import { AllocationFlag, Cmd, CmdFlag } from '../../server/wire/constants.js';
import { OpenFile } from '../helpers/file-systems.js';
import { FuseMount, skipWithoutFuse } from '../helpers/fuse/fuse-mount.js';
import { KernelLoop, skipWithoutKernelLoop } from '../helpers/kernel-loop.js';
import { MixedSession } from '../helpers/mixed-session.js';
import { run, runOk } from '../helpers/process.js';
import { Random } from '../helpers/random.js';
import { ServedLoops } from '../helpers/served-loops.js';
import { makeRandomFile, makeSparseFile, TempDir } from '../helpers/temp.js';
import { skipUnless, tool } from '../helpers/tools.js';

t.setTimeout(240_000);

const MIB = 1 << 20;
const SIZE = 16 * MIB;
const BLOCK = 4096;
const MODES = ['simple', 'structured', 'extended'] as const;

/** What a client reads of loop0 in every mode, in requests of these sizes. */
const SIZES = [BLOCK, 64 << 10, MIB, 4 * MIB];

/** A session with a device over this file, and an end to both. */
async function serve(file: string, mode: (typeof MODES)[number]) {
  const served = await ServedLoops.start();
  const device = await served.bench.device();
  await device.loopConfigure({ file });
  const session = await MixedSession.open(served.socketPath, { mode });
  const end = async (): Promise<void> => {
    await session[Symbol.asyncDispose]();
    await served[Symbol.asyncDispose]();
  };
  return { session, [Symbol.asyncDispose]: end };
}

const holesOf = (runs: readonly (readonly [bigint, number])[] = []): bigint =>
  runs.reduce((sum, [length, flags]) => sum + ((flags & AllocationFlag.HOLE) === 0 ? 0n : length), 0n);

const skip = skipWithoutFuse();

for (const mode of MODES) {
  t.test(`${mode}: on FUSE with a write-back cache a client reads what it wrote`, { skip }, async (t) => {
    await using mount = await FuseMount.mount({ writeback: true });
    makeSparseFile(mount.real('a.img'), SIZE);
    await using served = await serve(mount.file('a.img'), mode);
    const { session } = served;
    const written = new Random(1).bytes(2 * MIB);
    t.equal((await session.ask({ type: Cmd.WRITE, offset: MIB, payload: written })).error, 0);
    for (const length of [64 << 10, MIB, 2 * MIB]) {
      const { data } = await session.ask({ type: Cmd.READ, offset: MIB, length });
      t.ok(data.equals(written.subarray(0, length)), `a READ of ${length} bytes`);
    }
    if (mode === 'simple') return;
    const { extents } = await session.ask({ type: Cmd.BLOCK_STATUS, offset: 0, length: SIZE });
    t.equal(holesOf(extents.get(1)), 0n, 'and no hole is told of');
    const empty = await session.ask({ type: Cmd.READ, offset: 4 * MIB, length: 8 * MIB });
    t.ok(empty.data.equals(Buffer.alloc(8 * MIB)));
    t.equal(empty.holes, 8 * MIB, 'zeroes that were looked at are not sent');
  });

  for (const seek of ['enxio', 'late', 'trunc'] as const) {
    t.test(`${mode}: SEEK_DATA of a server that lies (${seek}) loses nothing`, { skip }, async (t) => {
      await using mount = await FuseMount.mount({ faults: { seek } });
      const content = readFileSync(makeRandomFile(mount.real('a.img'), SIZE));
      await using served = await serve(mount.file('a.img'), mode);
      for (const length of SIZES) {
        for (const flags of mode === 'simple' ? [0] : [0, CmdFlag.DF]) {
          const { data } = await served.session.ask({ type: Cmd.READ, flags, offset: MIB, length });
          t.ok(data.equals(content.subarray(MIB, MIB + length)), `a READ of ${length} bytes, flags ${flags}`);
        }
      }
      if (mode === 'simple') return;
      const { extents } = await served.session.ask({ type: Cmd.BLOCK_STATUS, offset: 0, length: SIZE });
      t.equal(holesOf(extents.get(1)), 0n);
    });
  }
}

t.test('a file of FUSE is not asked for holes', { skip }, async (t) => {
  await using mount = await FuseMount.mount();
  writeFileSync(mount.real('a'), 'a');
  using there = OpenFile.open(mount.file('a'));
  t.equal(await tellsHoles(there.fd), false);
  t.equal(await tellsHoles(1 << 20), false, 'nor what is no descriptor');
});

t.test('the node of a disk is not one of its file system', { skip: skipWithoutKernelLoop() }, async (t) => {
  using dir = new TempDir();
  await using loop = await KernelLoop.attach(makeSparseFile(dir.file('disk.img'), SIZE));
  const disk = await BackingFile.open(loop.path, { readOnly: true });
  t.equal(disk.tellsHoles, false);
  await disk.close();
});

/** A file system of its own, made and mounted for a test; or memory, or where temporary files are. */
interface Place extends AsyncDisposable {
  readonly path: string;
}

const memory = async (): Promise<Place> => {
  const dir = new TempDir('/dev/shm');
  return { path: dir.path, [Symbol.asyncDispose]: async () => dir[Symbol.dispose]() };
};

const overlay = async (): Promise<Place> => {
  const dir = new TempDir('/dev/shm');
  for (const name of ['lower', 'upper', 'work', 'merged']) mkdirSync(dir.file(name));
  const options = `lowerdir=${dir.file('lower')},upperdir=${dir.file('upper')},workdir=${dir.file('work')}`;
  const path = dir.file('merged');
  await runOk(tool('mount'), ['-t', 'overlay', 'overlay', '-o', options, path]);
  const end = async (): Promise<void> => {
    await run(tool('umount'), ['--lazy', path]);
    dir[Symbol.dispose]();
  };
  return { path, [Symbol.asyncDispose]: end };
};

const made = (type: string) => async (): Promise<Place> => {
  const dir = new TempDir('/var/tmp');
  const image = makeSparseFile(dir.file('disk.img'), 512 * MIB);
  await runOk(tool(`mkfs.${type}`), ['-q', image]);
  const loop = await KernelLoop.attach(image);
  const path = dir.file('mnt');
  mkdirSync(path);
  const end = async (): Promise<void> => {
    await run(tool('umount'), ['--lazy', path]);
    await loop[Symbol.asyncDispose]();
    dir[Symbol.dispose]();
  };
  await runOk(tool('mount'), ['-t', type, loop.path, path]);
  return { path, [Symbol.asyncDispose]: end };
};

/** This kernel has it, maybe as a module that a mount would load. */
const hasDriver = async (type: string): Promise<boolean> => {
  const isThere = (): boolean =>
    new RegExp(`\\b${type}$`, 'm').test(readFileSync('/proc/filesystems', 'utf8'));
  if (!isThere()) await run(tool('modprobe'), [type]);
  return isThere();
};

t.test('a file of an overlay is not asked for holes', { skip }, async (t) => {
  if (!(await hasDriver('overlay'))) {
    t.comment('this kernel has no overlay');
    return;
  }
  await using place = await overlay();
  using file = OpenFile.open(makeSparseFile(`${place.path}/image`, SIZE));
  t.equal(await tellsHoles(file.fd), false);
});

const PLACES: Readonly<Record<string, () => Promise<Place>>> = {
  tmpfs: memory,
  ext4: made('ext4'),
  xfs: made('xfs'),
  btrfs: made('btrfs'),
};

const FILE = 24 * MIB;
/** Writes, hole punches by truncation and syncs in each round; looks at all of the file between them. */
const STEPS = 300;

for (const [type, make] of Object.entries(PLACES)) {
  const needs = type === 'tmpfs' ? false : skipWithoutKernelLoop() || skipUnless(`mkfs.${type}`, 'mount');
  t.test(`${type} tells of everything that was written, dirty or not`, { skip: needs }, async (t) => {
    if (!(await hasDriver(type))) {
      t.comment(`this kernel has no ${type}`);
      return;
    }
    await using place = await make();
    const random = Random.fromEnvironment('HOLES_SEED');
    t.comment(`HOLES_SEED=${random.seed}`);
    const path = makeSparseFile(`${place.path}/image`, FILE);
    using file = OpenFile.open(path);
    t.ok(await tellsHoles(file.fd), 'it is on the list');
    // By block of 512 bytes: something that is not zero was written to it.
    const isData = new Uint8Array(FILE / 512);
    let lost = 0;
    let named = 0;
    for (let step = 0; step < STEPS; step++) {
      const length = 512 * (1 + random.below(random.pick([1, 16, 300])));
      const position = 512 * random.below((FILE - length) / 512);
      writeSync(file.fd, Buffer.alloc(length, 1), 0, length, position);
      isData.fill(1, position / 512, (position + length) / 512);
      if (random.chance(0.03)) fdatasync(file.fd);
      const seen = holesIn(file.fd, isData);
      lost += seen.lost;
      named += seen.named;
    }
    t.equal(lost, 0, 'blocks of data that were told to be holes');
    t.ok(named > 0, 'and holes were told of at all');
    rmSync(path);
  });
}

/** Blocks of holes that a look at all of the file finds, and how many of them hold data. */
function holesIn(fd: number, isData: Uint8Array): { readonly named: number; readonly lost: number } {
  const known: Extents = { seek: true, dataStart: 0, dataEnd: 0, dataSeen: Number.NEGATIVE_INFINITY };
  let [named, lost] = [0, 0];
  for (let position = 0; position < FILE; ) {
    const extent = extentAt(fd, position, FILE - position, known, 512);
    const end = position + Math.abs(extent);
    if (extent < 0) {
      named += (end - position) / 512;
      for (let block = position / 512; block < end / 512; block++) lost += isData[block] ?? 0;
    }
    position = end;
  }
  return { named, lost };
}
