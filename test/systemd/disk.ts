/** The disk of a machine whose init is systemd: Debian as it is installed, with the package and its units. */
import { appendFileSync, copyFileSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { runOk } from '../helpers/process.js';
import { makeSparseFile, type TempDir } from '../helpers/temp.js';
import { tool } from '../helpers/tools.js';
import { cachedTree } from '../vm/debian.js';
import { FSTAB, PROBE, PROBE_UNIT } from './probe.js';

const DISK_BYTES = 2 ** 31;
const IMAGE_BYTES = 48 << 20;
const MIRROR = 'http://deb.debian.org/debian';

/** Where the machine has its backing files. */
export const FILES = '/srv';

/** Backing files: mounted from fstab by file, from fstab by a unit's link, by hand, and by hand with a partition. */
export const IMAGES = ['a', 'b', 'c', 'd'] as const;

/** Debian 12 with systemd and udev; takes root, and is made once. */
const debian = (): Promise<string> =>
  cachedTree('systemd-amd64', async (tree) => {
    const packages = ['systemd', 'systemd-sysv', 'udev', 'kmod', 'e2fsprogs', 'fdisk'];
    await runOk(
      tool('debootstrap'),
      ['--variant=minbase', `--include=${packages.join(',')}`, 'bookworm', tree, MIRROR],
      { timeoutMs: 900_000 },
    );
  });

/** An image file in `files`: what `npm install -g` and packaging/install make of a Debian. */
export async function systemDisk(files: TempDir): Promise<string> {
  const tree = files.file('tree');
  await runOk('cp', ['-a', await debian(), tree], { timeoutMs: 300_000 });
  await installProject(files, tree);
  const put = (path: string, text: string, mode = 0o644): void => {
    mkdirSync(join(tree, dirname(path)), { recursive: true });
    writeFileSync(join(tree, path), text, { mode });
  };
  const enable = (unit: string, name = unit): void => {
    mkdirSync(join(tree, 'etc/systemd/system/multi-user.target.wants'), { recursive: true });
    symlinkSync(
      `/usr/lib/systemd/system/${unit}`,
      join(tree, 'etc/systemd/system/multi-user.target.wants', name),
    );
  };
  put('etc/nbdloop/b.conf', `FILE=${FILES}/b.img\nOPTIONS=--direct-io=on\n`);
  put('usr/local/bin/probe', PROBE, 0o755);
  put('usr/lib/systemd/system/probe.service', PROBE_UNIT);
  appendFileSync(join(tree, 'etc/fstab'), FSTAB);
  enable('nbdloopd.service');
  enable('nbdloop@.service', 'nbdloop@b.service');
  enable('probe.service');
  for (const name of IMAGES) {
    mkdirSync(join(tree, 'mnt', name));
    const image = makeSparseFile(join(tree, FILES, `${name}.img`), IMAGE_BYTES);
    if (name !== 'd') await runOk(tool('mkfs.ext4'), ['-q', '-F', image]);
  }
  const image = makeSparseFile(files.file('disk'), DISK_BYTES);
  await runOk(tool('mkfs.ext4'), ['-q', '-F', '-d', tree, image], { timeoutMs: 300_000 });
  return image;
}

async function installProject(files: TempDir, tree: string): Promise<void> {
  copyFileSync(process.execPath, join(tree, 'usr/bin/node'));
  const npm = (...words: string[]) => runOk('npm', words, { timeoutMs: 300_000 });
  const [packed] = JSON.parse(
    await npm('pack', '--json', '--ignore-scripts', '--pack-destination', files.path),
  );
  const quiet = ['--no-audit', '--no-fund', '--prefer-offline', '--omit=dev'];
  await npm('install', '-g', ...quiet, '--prefix', join(tree, 'usr'), files.file(packed.filename));
  const installed = join(tree, 'usr/lib/node_modules/nbdloop/packaging/install');
  await runOk('sh', [installed, '--destdir', tree]);
}

/** Copies a file of the disk out of it, without a mount. */
export async function takeOut(disk: string, path: string, to: string): Promise<string> {
  await runOk(tool('debugfs'), ['-R', `dump ${path} ${to}`, disk], { timeoutMs: 120_000 });
  return to;
}
