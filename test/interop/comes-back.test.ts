/** After the end of a daemon, whichever way: the same number, the same file and the same uuid, or nothing. */
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  statSync,
  truncateSync,
  unlinkSync,
} from 'node:fs';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { lockForWriting } from '../../driver/io/file-lock.js';
import { Daemon } from '../helpers/daemon.js';
import { OpenFile } from '../helpers/file-systems.js';
import { LETTERED_BYTES, letterOf, letters } from '../helpers/letters.js';
import { NbdSession } from '../helpers/nbd-session.js';
import { runOk } from '../helpers/process.js';
import { refusal } from '../helpers/refusal.js';
import { TempDir } from '../helpers/temp.js';
import { skipUnless, tool } from '../helpers/tools.js';

t.setTimeout(600_000);

const BYTES = LETTERED_BYTES;

/** What a client that stays connected writes. */
async function write(daemon: Daemon, name: string, offset: number, letter: string): Promise<void> {
  const session = await NbdSession.open(daemon.socket, name);
  const error = (await session.write(offset, Buffer.alloc(512, letter))) + (await session.flush());
  session.leave('disc');
  if (error !== 0) throw new Error(`the write failed with ${error}`);
}

/** A daemon that takes over from the one that runs. */
async function takeOver(directory: TempDir, before: Daemon): Promise<Daemon> {
  const after = Daemon.launch(directory, { args: ['--handover'] });
  await before.process.ended;
  await after.process.waitForOutput(/control socket/);
  return after;
}

const STOPS: Readonly<Record<string, (daemon: Daemon) => Promise<unknown>>> = {
  SIGTERM: (daemon) => daemon.stop(),
  SIGKILL: (daemon) => daemon.kill(),
};

for (const [signal, stop] of Object.entries(STOPS)) {
  t.test(`after ${signal} every device is there as it was, and no number went to another file`, async (t) => {
    using files = new TempDir();
    using directory = new TempDir();
    const [a, b, c] = ['a', 'b', 'c'].map((letter) => letters(files.file(`${letter}.img`), letter));
    const first = await Daemon.start({ directory });
    await first.client.find({ file: a ?? '' });
    await first.client.configure((await first.client.add(4)).number, {
      file: b ?? '',
      offset: 4096,
      sizeLimit: 8192,
      blockSize: 4096,
      readOnly: true,
      autoclear: true,
    });
    truncateSync(a ?? '', BYTES / 2);
    const before = await first.client.list();
    await stop(first);
    await using second = await Daemon.start({ directory });
    const after = await second.client.list();
    for (const [i, { generation: _, counters: __, ...status }] of before.entries()) {
      t.match(after[i], status, `${status.name} with its size, flags and uuid`);
    }
    t.equal((await second.client.find({ file: c ?? '' })).number, 1);
    t.equal(await letterOf(second, 'loop4'), 'b');
    const told = await runOk(process.execPath, [
      resolve('dist/bin/nbdloop.js'),
      ...['uri', 'loop0', '--control', second.control],
    ]);
    t.equal(told.trim(), second.uri());
  });
}

t.test('with --forget the end of a daemon frees its numbers', async (t) => {
  using files = new TempDir();
  using directory = new TempDir();
  const first = await Daemon.start({
    directory,
    devices: [letters(files.file('a.img'), 'a')],
    args: ['--forget'],
  });
  await first.stop();
  await using second = await Daemon.start({ directory });
  t.strictSame(await second.client.list(), []);
});

t.test(
  'a client finds the uuid of an export in its description',
  { skip: skipUnless('nbdinfo') },
  async (t) => {
    using files = new TempDir();
    await using daemon = await Daemon.start({ devices: [letters(files.file('a.img'), 'a')] });
    const described = async (): Promise<string | undefined> =>
      /description: .*uuid=([0-9a-f-]{36})$/m.exec(await runOk(tool('nbdinfo'), [daemon.uri()]))?.[1];
    const { uuid } = await daemon.client.device(0);
    t.equal(await described(), uuid);
    await daemon.client.clear(0);
    await daemon.client.configure(0, { file: letters(files.file('b.img'), 'b') });
    t.not((await daemon.client.device(0)).uuid, uuid);
    t.equal(await described(), (await daemon.client.device(0)).uuid, 'another binding has another one');
  },
);

/** What befalls a.img while no daemon is there; `old` is where the bound file is afterwards, if anywhere. */
const REPLACED: readonly { readonly how: string; readonly old?: string }[] = [
  { how: 'moved away, and another file moved to its place', old: 'old.img' },
  { how: 'deleted, and another file made' },
  { how: 'deleted, and a shorter file made' },
  { how: 'replaced by a copy of itself', old: 'old.img' },
  { how: 'deleted' },
  { how: 'moved away', old: 'old.img' },
];

function befall(how: string, files: TempDir): void {
  const [a, old] = [files.file('a.img'), files.file('old.img')];
  if (/^(moved|replaced)/.test(how)) renameSync(a, old);
  else unlinkSync(a);
  if (how.includes('copy')) copyFileSync(old, a);
  else if (how.includes(',')) letters(a, 'x', how.includes('shorter') ? BYTES / 2 : BYTES);
}

t.test('a file that is another one after a crash is not served, not written and not forgotten', async (t) => {
  for (const { how, old } of REPLACED) {
    await t.test(how, async (t) => {
      using files = new TempDir();
      using directory = new TempDir();
      const [a, b] = [letters(files.file('a.img'), 'a'), letters(files.file('b.img'), 'b')];
      const first = await Daemon.start({ directory, devices: [a, b] });
      const uuids = (await first.client.list()).map(({ uuid }) => uuid);
      await write(first, 'loop0', 512, 'w');
      await first.kill();
      befall(how, files);
      const isThere = existsSync(a);
      const there = isThere ? readFileSync(a) : Buffer.alloc(0);

      await using second = await Daemon.start({ directory, devices: [a, b] });
      t.equal(await letterOf(second, 'loop0'), undefined, 'its export does not exist');
      t.equal(await letterOf(second, ''), undefined, 'and another device does not become the default one');
      t.equal(await letterOf(second, 'loop1'), 'b', 'the other device is back');
      t.match(await second.client.unrecovered(), [{ number: 0, uuid: uuids[0], file: a, errno: 'ESTALE' }]);
      const status = await second.cliOk('nbdloop', 'status');
      t.match(status, new RegExp(`^loop0 was not brought back: ${a}: .*\\(ESTALE\\)$`, 'm'));
      t.match(
        status,
        isThere ? /another one .*inode \d+ .*meant is inode \d+/ : /not exist; meant is inode \d+/,
      );
      t.match(JSON.parse(await second.cliOk('nbdloop', 'status', '--json')), {
        unrecovered: [{ number: 0, errno: 'ESTALE' }],
      });
      await keepsItsNumber(t, second, files);
      if (isThere) t.ok(readFileSync(a).equals(there), 'what has its name by now is not touched');

      await recovers(t, second, {
        ...{ files, old, uuid: uuids[0] ?? '' },
        isVouchedFor: isThere,
      });
    });
  }
});

async function keepsItsNumber(t: Test, daemon: Daemon, files: TempDir): Promise<void> {
  const c = letters(files.file('c.img'), 'c');
  t.equal((await daemon.client.find({ file: c })).number, 2, 'its number is not given away');
  t.equal(await refusal(daemon.client.add(0)), 'EBUSY', 'not even to who names it');
  const refused = await daemon.cli('nbdlosetup', 'loop0', c);
  t.match([refused.status, refused.stderr], [1, /nbdloop recover loop0.*tries again/]);
  t.match((await daemon.cli('nbdloop', 'status', 'loop0')).stdout, /^loop0 was not brought back/);
}

/** With its file under another name; with a copy when the user says so; not at all when it is given up. */
async function recovers(
  t: Test,
  daemon: Daemon,
  {
    files,
    old,
    uuid,
    isVouchedFor,
  }: { files: TempDir; old: string | undefined; uuid: string; isVouchedFor: boolean },
): Promise<void> {
  if (old !== undefined) {
    await daemon.cliOk('nbdloop', 'recover', 'loop0', '--file', files.file(old));
    t.match([await letterOf(daemon, 'loop0'), (await daemon.client.device(0)).uuid], ['a', uuid]);
    await write(daemon, 'loop0', 0, 'v');
    t.equal(readFileSync(files.file(old)).toString('latin1', 0, 1), 'v', 'what is written goes to the file');
    t.equal(await refusal(daemon.client.recover(0)), 'EBUSY', 'it is not down any more');
    return;
  }
  const other = letters(files.file('other.img'), 'o');
  t.equal(await refusal(daemon.client.recover(0, { file: other })), 'ESTALE', 'another file is refused');
  const short = letters(files.file('short.img'), 's', BYTES / 2);
  t.equal(await refusal(daemon.client.recover(0, { file: short, force: true })), 'EINVAL');
  if (isVouchedFor) {
    await daemon.cliOk('nbdloop', 'recover', 'loop0', '--file', other, '--force');
    t.match([await letterOf(daemon, 'loop0'), (await daemon.client.device(0)).uuid], ['o', uuid]);
  }
  await daemon.cliOk('nbdlosetup', '-d', 'loop0');
  t.equal((await daemon.client.find({ file: other })).number, 0, 'let go of, its number is free');
  t.strictSame(await daemon.client.unrecovered(), []);
}

t.test('a daemon that takes over serves the open file on, renamed, deleted or replaced', async (t) => {
  using files = new TempDir();
  using directory = new TempDir();
  const names = ['renamed', 'deleted', 'replaced'];
  const images = names.map((name) => letters(files.file(name), name.slice(0, 1)));
  let daemon = await Daemon.start({ directory, devices: images, args: ['--handover'] });
  const inode = statSync(files.file('deleted')).ino;
  renameSync(files.file('renamed'), files.file('elsewhere'));
  unlinkSync(files.file('deleted'));
  unlinkSync(files.file('replaced'));
  letters(files.file('replaced'), 'x');
  // Twice: what was handed over can be handed over again.
  for (let i = 0; i < 2; i++) {
    daemon = await takeOver(directory, daemon);
    t.strictSame(await Promise.all(['loop0', 'loop1', 'loop2'].map((name) => letterOf(daemon, name))), [
      'r',
      'd',
      'r',
    ]);
    for (const [number, letter] of ['p', 'q', 'z'].entries())
      await write(daemon, `loop${number}`, 512, letter);
  }
  t.equal((await daemon.client.device(1)).backingInode, inode);
  t.equal(readFileSync(files.file('elsewhere')).toString('latin1', 511, 513), 'rp');
  t.ok(
    readFileSync(files.file('replaced')).equals(Buffer.alloc(BYTES, 'x')),
    'the new file of the name is untouched',
  );
  t.strictSame(await daemon.client.unrecovered(), []);

  await daemon.kill();
  await using last = await Daemon.start({ directory });
  t.match(
    (await last.client.unrecovered()).map(({ name, errno }) => [name, errno]),
    [
      ['loop1', 'ESTALE'],
      ['loop2', 'ESTALE'],
    ],
    'after a crash nobody has the deleted ones any more',
  );
  t.equal(await letterOf(last, 'loop0'), 'r', 'the renamed one is found under its new name');
});

t.test('a file is locked without a gap while one daemon takes over from another', async (t) => {
  using files = new TempDir();
  using directory = new TempDir();
  const image = letters(files.file('a.img'), 'a');
  const first = await Daemon.start({ directory, devices: [image, image], args: ['--handover'] });
  using open = OpenFile.open(image);
  const { dev: device, ino: inode } = statSync(image, { bigint: true });
  let isOver = false;
  const seen = new Map<string, number>();
  const trying = (async () => {
    while (!isOver) {
      const outcome = await refusal(lockForWriting(open.fd, { path: image, device, inode }));
      seen.set(outcome, (seen.get(outcome) ?? 0) + 1);
      if (outcome === 'success') break;
      await sleep(1);
    }
  })();
  await using second = await takeOver(directory, first);
  isOver = true;
  await trying;
  t.strictSame([...seen.keys()], ['EBUSY'], `${seen.get('EBUSY')} attempts`);
  await second.client.clear(0);
  t.equal(
    await refusal(lockForWriting(open.fd, { path: image, device, inode })),
    'EBUSY',
    'the other device has it',
  );
});

/** A file system of 64 KiB for the state. */
async function smallStateDirectory(directory: TempDir): Promise<AsyncDisposable> {
  const path = directory.file('state');
  mkdirSync(path, { mode: 0o700 });
  await runOk('mount', ['-t', 'tmpfs', '-o', 'size=64k,mode=0700', 'tmpfs', path]);
  return { [Symbol.asyncDispose]: async () => void (await runOk('umount', ['-l', path])) };
}

const FILL = 'fill';
async function fillUp(directory: TempDir): Promise<void> {
  await runOk('sh', ['-c', `dd if=/dev/zero of=${directory.file('state', FILL)} bs=1k 2>/dev/null || true`]);
}

async function cannotMount(): Promise<string | false> {
  using directory = new TempDir();
  try {
    await using _mounted = await smallStateDirectory(directory);
    return false;
  } catch {
    return 'needs the right to mount';
  }
}

t.test(
  'where there is no room for the state, nothing happens that it would not tell of',
  { skip: await cannotMount() },
  async (t) => {
    using files = new TempDir();
    using directory = new TempDir();
    await using _mounted = await smallStateDirectory(directory);
    const images = Array.from({ length: 40 }, (_, i) => letters(files.file(`${i}.img`), 'a', 4096));
    const [a = '', b = ''] = [letters(files.file('a.img'), 'a'), letters(files.file('b.img'), 'b')];
    const first = await Daemon.start({ directory, devices: [a] });
    await fillUp(directory);
    await first.client.clear(0);
    t.strictSame((await first.client.device(0)).state, 'unbound', 'what is bound can be let go of');
    t.equal(
      (await first.client.find({ file: b })).number,
      0,
      'what needs no more room than before can be bound',
    );
    // More and more, until there is no room.
    let bound = 1;
    let errno = 'success';
    for (const file of images) {
      errno = await refusal(first.client.find({ file }));
      if (errno !== 'success') break;
      bound++;
    }
    t.equal(errno, 'ENOSPC', `after ${bound} devices`);
    const states = (await first.client.list()).map(({ state, uuid }) => [state, uuid !== null] as const);
    t.strictSame(
      states,
      states.map((_, i) => (i < bound ? ['bound', true] : ['unbound', false])),
    );
    using open = OpenFile.open(images[bound - 1] ?? '');
    const { dev: device, ino: inode } = statSync(images[bound - 1] ?? '', { bigint: true });
    const lock = await lockForWriting(open.fd, { path: 'refused', device, inode });
    t.ok(lock, 'the file that was refused is not held');
    await lock.release();
    await write(first, 'loop0', 512, 'w');
    await first.kill();

    await using second = await Daemon.start({ directory });
    t.equal(await letterOf(second, 'loop0'), 'b');
    t.equal((await second.client.list()).length, bound);
    await write(second, 'loop0', 1024, 'w');
    t.ok(readFileSync(a).equals(Buffer.alloc(BYTES, 'a')), 'the file that was let go of is untouched');
    for (let i = bound - 1; i >= 0; i--) await second.client.clear(i);
    unlinkSync(directory.file('state', FILL));
    t.equal((await second.client.find({ file: a })).number, 0);
  },
);
