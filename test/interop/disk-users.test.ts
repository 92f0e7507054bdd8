/** Who uses a disk, asked of this machine's kernel: with loop devices of its own, of which it has always some. */
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import t from 'tap';
import { askHelper } from '../../driver/helper/helper.js';
import { Daemon } from '../helpers/daemon.js';
import { KernelLoop, skipWithoutKernelLoop } from '../helpers/kernel-loop.js';
import { runOk, start } from '../helpers/process.js';
import { makeSparseFile, TempDir } from '../helpers/temp.js';
import { skipUnless, tool } from '../helpers/tools.js';

const MIB = 1 << 20;
const TIMEOUT_MS = 60_000;
/** Who opened the disk when it came, as udev does, is gone after this, milliseconds. */
const SETTLE_MS = 10_000;

t.setTimeout(180_000);
const skip = skipWithoutKernelLoop() || skipUnless('mkfs.ext4', 'unshare', 'mknod');

const isUsed = (disk: string, patienceMs = 0) => askHelper('isNodeUsed', { disk, patienceMs }, TIMEOUT_MS);
const hasLastingUser = (disk: string) => askHelper('hasLastingUser', { disk }, TIMEOUT_MS);
const users = (disk: string) => askHelper('usersOf', { disk, except: [], withinMs: 20_000 }, TIMEOUT_MS);

/** Begins a use; what it returns ends it. */
type Use = (device: KernelLoop, dir: TempDir) => Promise<() => Promise<void>>;

interface UseCase {
  readonly title: string;
  readonly begin: Use;
  readonly lasts: boolean;
  readonly told: RegExp;
}

const openedAs = async (path: string): Promise<() => Promise<void>> => {
  const fd = openSync(path, 'r');
  return async () => closeSync(fd);
};

const USES: readonly UseCase[] = [
  {
    title: 'a program that has it open',
    begin: async ({ path }) => openedAs(path),
    lasts: false,
    told: new RegExp(`^loop\\d+ is open in process ${process.pid} \\(.+\\)$`),
  },
  {
    title: 'a program that has it open by another name',
    begin: async ({ path }, dir) => {
      const number = readFileSync(`/sys/block/${basename(path)}/dev`, 'latin1')
        .trim()
        .split(':');
      await runOk(tool('mknod'), [dir.file('another'), 'b', ...number]);
      return openedAs(dir.file('another'));
    },
    lasts: false,
    told: new RegExp(`^loop\\d+ is open in process ${process.pid} \\(.+\\)$`),
  },
  {
    title: 'a mount',
    begin: async ({ path }, dir) => {
      mkdirSync(dir.file('mnt'));
      await runOk('mount', [path, dir.file('mnt')]);
      return async () => void (await runOk('umount', [dir.file('mnt')]));
    },
    lasts: true,
    told: /^loop\d+ is mounted on .*\/mnt$/,
  },
  {
    title: 'a mount in another mount namespace',
    begin: async ({ path }, dir) => {
      mkdirSync(dir.file('mnt'));
      const script = `mount ${path} ${dir.file('mnt')} && echo mounted && exec sleep 1000`;
      const elsewhere = start(tool('unshare'), ['-m', 'sh', '-c', script]);
      await elsewhere.waitForOutput(/mounted/);
      return () => elsewhere[Symbol.asyncDispose]();
    },
    lasts: true,
    told: /^loop\d+ is mounted on .*\/mnt for process \d+ \(sleep\)$/,
  },
  {
    title: 'a loop device of the kernel',
    begin: async ({ path }) => {
      const upper = await KernelLoop.attach(path);
      return () => upper[Symbol.asyncDispose]();
    },
    lasts: true,
    told: /^loop\d+ is the file of \/dev\/loop\d+$/,
  },
];

async function fileSystem(dir: TempDir): Promise<KernelLoop> {
  const file = makeSparseFile(dir.file('disk.img'), 8 * MIB);
  await runOk(tool('mkfs.ext4'), ['-q', '-F', file]);
  const device = await KernelLoop.attach(file);
  await isUsed(basename(device.path), SETTLE_MS);
  return device;
}

for (const { title, begin, lasts, told } of USES) {
  t.test(`${title} uses a disk`, { skip }, async (t) => {
    using dir = new TempDir();
    await using device = await fileSystem(dir);
    const disk = basename(device.path);
    t.notOk(await isUsed(disk, SETTLE_MS), 'unused before');
    const end = await begin(device, dir);
    for (let i = 0; i < 5; i++) t.ok(await isUsed(disk), 'used');
    t.equal(await hasLastingUser(disk), lasts);
    const [phrase, ...more] = await users(disk);
    t.match(phrase, told);
    t.strictSame(more, []);
    await end();
    t.notOk(await isUsed(disk, SETTLE_MS), 'unused afterwards');
    t.notOk(await hasLastingUser(disk));
    t.strictSame(await users(disk), []);
  });
}

/** So many processes, with so many open files each: 200 000 files are a look of half a minute. */
const CROWD = `
import os, signal
for i in range(800): os.open('/dev/null', os.O_RDONLY)
for i in range(250):
    if os.fork() == 0:
        signal.alarm(120)  # a child ends by itself, whatever becomes of its parent
        signal.pause()
        os._exit(0)
print('ready', flush=True)
signal.alarm(120)
signal.pause()
`;
/** What a look may take on a busy machine, milliseconds; it stops by itself after half a second. */
const QUICK_MS = 8000;

t.test(
  'who has a file locked is found among many processes, at once',
  { skip: skipUnless('python3') },
  async (t) => {
    using dir = new TempDir();
    const file = makeSparseFile(dir.file('locked.img'), MIB);
    await using daemon = await Daemon.start({ devices: [file] });
    await using crowd = start(tool('python3'), ['-c', CROWD]);
    await crowd.waitForOutput(/ready/, 60_000);
    await using other = await Daemon.start();
    const began = performance.now();
    const refused = await other.client.find({ file }).catch((error: Error) => error.message);
    const took = performance.now() - began;
    t.match(refused, new RegExp(`served for writing by another daemon \\(process ${daemon.pid}, .+\\)`));
    t.ok(took < QUICK_MS, `${took} ms`);
  },
);
