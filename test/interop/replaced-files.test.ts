/** On real file systems: what becomes of a file, or of its name, between a crash of the daemon and the next one. */
import {
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  statSync,
  unlinkSync,
} from 'node:fs';
import t, { type Test } from 'tap';
import { Daemon } from '../helpers/daemon.js';
import { LETTERED_BYTES, letterOf, letters } from '../helpers/letters.js';
import { MountedDisk, skipWithoutMounts } from '../helpers/mounted-disk.js';
import { runOk } from '../helpers/process.js';
import { refusal } from '../helpers/refusal.js';
import { TempDir } from '../helpers/temp.js';
import { skipUnless, tool } from '../helpers/tools.js';

t.setTimeout(300_000);

interface Change {
  /** Returns where the device's own file is by now, if it has a name. */
  readonly happens: (file: string) => Promise<string | undefined> | string | undefined;
  /** Of what `recover` must not write to. */
  readonly isAnother: boolean;
}

/** By what happens while no daemon is there; the file's letter is the device's. */
const CHANGES: Readonly<Record<string, Change>> = {
  nothing: { happens: (file) => file, isAnother: false },
  'it is renamed away and back': {
    happens: (file) => {
      renameSync(file, `${file}.away`);
      renameSync(`${file}.away`, file);
      return file;
    },
    isAnother: false,
  },
  'another link takes its name': {
    happens: (file) => {
      linkSync(file, `${file}.link`);
      renameSync(`${file}.link`, `${file}.copy`);
      unlinkSync(file);
      renameSync(`${file}.copy`, file);
      return file;
    },
    isAnother: false,
  },
  'it is renamed': {
    happens: (file) => {
      renameSync(file, `${file}.renamed`);
      return `${file}.renamed`;
    },
    isAnother: true,
  },
  'only another link is left': {
    happens: (file) => {
      linkSync(file, `${file}.link`);
      unlinkSync(file);
      return `${file}.link`;
    },
    isAnother: true,
  },
  'a copy with shared blocks takes its name': {
    happens: async (file) => {
      renameSync(file, `${file}.first`);
      await runOk('cp', ['--preserve=all', '--reflink=auto', `${file}.first`, file]);
      return `${file}.first`;
    },
    isAnother: true,
  },
  'it is removed, and made anew at once': {
    happens: (file) => {
      copyFileSync(file, `${file}.copy`);
      unlinkSync(file);
      copyFileSync(`${file}.copy`, file);
      return undefined;
    },
    isAnother: true,
  },
  'a shorter file takes its name': {
    happens: (file) => {
      renameSync(file, `${file}.first`);
      letters(file, 'z', LETTERED_BYTES / 2);
      return `${file}.first`;
    },
    isAnother: true,
  },
};

/** Each change in each of the directories, each with a device of its own. */
async function crashBetween(t: Test, directories: Readonly<Record<string, string>>): Promise<void> {
  using run = new TempDir();
  const cases = Object.entries(directories)
    .flatMap(([kind, directory]) =>
      Object.entries(CHANGES).map(([what, change]) => ({ ...change, what: `${kind}: ${what}`, directory })),
    )
    .map((change, number) => {
      const letter = String.fromCharCode(0x40 + number);
      return { ...change, number, letter, file: letters(`${change.directory}/${number}.img`, letter) };
    });
  const first = await Daemon.start({ directory: run, devices: cases.map(({ file }) => file) });
  await first.kill();
  const own = await Promise.all(cases.map(({ happens, file }) => happens(file)));
  const others = cases.map(({ file, isAnother }) =>
    isAnother && existsSync(file) ? readFileSync(file) : undefined,
  );

  await using next = await Daemon.start({ directory: run });
  const { client } = next;
  t.same(
    (await client.unrecovered()).map(({ number }) => cases[number]?.what),
    cases.filter(({ isAnother }) => isAnother).map(({ what }) => what),
    'those are down whose name is not the file',
  );
  for (const { what, number, letter, file, isAnother } of cases) {
    const [where, other] = [own[number], others[number]];
    if (isAnother) t.equal(await refusal(client.recover(number)), 'ESTALE', what);
    if (isAnother && where !== undefined) await client.recover(number, { file: where });
    if (where !== undefined) t.equal(await letterOf(next, `loop${number}`), letter, `${what}: served`);
    if (other !== undefined) t.ok(readFileSync(file).equals(other), `${what}: the other is left alone`);
  }
}

t.test(
  'a device serves its file, or none',
  { skip: skipWithoutMounts('ext4', 'btrfs', 'xfs') },
  async (t) => {
    await using ext4 = await MountedDisk.make('ext4');
    await using btrfs = await MountedDisk.make('btrfs');
    await using xfs = await MountedDisk.make('xfs');
    using memory = new TempDir('/dev/shm');
    await crashBetween(t, { ext4: ext4.path, btrfs: btrfs.path, xfs: xfs.path, memory: memory.path });
  },
);

t.test(
  'btrfs: a subvolume that was rolled back to a snapshot holds another file',
  { skip: skipWithoutMounts('btrfs') || skipUnless('btrfs') },
  async (t) => {
    await using disk = await MountedDisk.make('btrfs');
    using run = new TempDir();
    const subvolume = (...words: string[]) => runOk(tool('btrfs'), ['-q', 'subvolume', ...words]);
    await subvolume('create', disk.file('now'));
    const file = letters(disk.file('now', 'a.img'), 'a');
    await subvolume('snapshot', disk.file('now'), disk.file('kept'));
    const { dev, ino } = statSync(file);
    const first = await Daemon.start({ directory: run, devices: [file] });
    await first.kill();
    await subvolume('delete', '--commit-after', disk.file('now'));
    await runOk(tool('btrfs'), ['subvolume', 'sync', disk.path]);
    // It gets the lowest number of a device that is free on this machine: what another test has given back meanwhile is taken first.
    for (let taken = 0; taken < 64; taken++) {
      await subvolume('snapshot', disk.file('kept'), disk.file('now'));
      if (statSync(file).dev === dev) break;
      renameSync(disk.file('now'), disk.file(`other-${taken}`));
    }
    t.match(statSync(file), { dev, ino }, 'by its numbers it is the same');

    await using next = await Daemon.start({ directory: run });
    t.match(await next.client.unrecovered(), [{ errno: 'ESTALE', message: /handle .*meant is .*handle/ }]);
    await next.client.recover(0, { file, force: true });
    t.equal(await letterOf(next, 'loop0'), 'a');
  },
);

/** Layers on file systems of their own: inode numbers can't be those of one of them. */
const LAYERS = ['index=off,xino=off', 'index=on,nfs_export=on'];

t.test(
  'overlayfs: a file is the same before and after it is copied up',
  { skip: skipWithoutMounts('ext4') },
  async (t) => {
    for (const options of LAYERS) {
      await using lower = await MountedDisk.make('ext4');
      using upper = new TempDir('/dev/shm');
      using merged = new TempDir();
      using run = new TempDir();
      for (const name of ['upper', 'work']) mkdirSync(upper.file(name));
      for (const letter of 'ab') letters(lower.file(`${letter}.img`), letter);
      const layers = `lowerdir=${lower.path},upperdir=${upper.file('upper')},workdir=${upper.file('work')}`;
      await runOk(tool('mount'), ['-t', 'overlay', '-o', `${layers},${options}`, 'overlay', merged.path]);
      try {
        const first = await Daemon.start({ directory: run, devices: [merged.file('a.img')] });
        await first.client.find({ file: merged.file('b.img'), readOnly: true });
        await first.kill();
        await using next = await Daemon.start({ directory: run });
        t.same(await next.client.unrecovered(), [], options);
        t.equal(await letterOf(next, 'loop0'), 'a');
        t.equal(await letterOf(next, 'loop1'), 'b');
        t.equal(await refusal(next.client.find({ file: merged.file('b.img'), noOverlap: true })), 'EEXIST');
      } finally {
        await runOk(tool('umount'), ['--lazy', merged.path]);
      }
    }
  },
);
