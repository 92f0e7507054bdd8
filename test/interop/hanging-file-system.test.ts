/** A file system whose server hangs takes what is on it, and nothing else. */
import { statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { lockForWriting } from '../../driver/io/file-lock.js';
import { Cmd } from '../../server/wire/constants.js';
import { Daemon } from '../helpers/daemon.js';
import { OpenFile } from '../helpers/file-systems.js';
import { Freezable } from '../helpers/freezable.js';
import { FuseMount, skipWithoutFuse } from '../helpers/fuse/fuse-mount.js';
import { skipWithoutKernelLoop } from '../helpers/kernel-loop.js';
import { MixedSession } from '../helpers/mixed-session.js';
import { run, start } from '../helpers/process.js';
import { refusal } from '../helpers/refusal.js';
import { makeSparseFile, TempDir } from '../helpers/temp.js';
import { skipUnless, tool } from '../helpers/tools.js';
import { until } from '../helpers/until.js';

t.setTimeout(200_000);
const MIB = 1 << 20;
/** Far more than anything here takes, and far less than what hangs, milliseconds. */
const AT_ONCE = 5000;

const skip = skipWithoutFuse() || skipUnless('nbdinfo');

/** What the answer is, or 'late'. */
const soon = <T>(answer: Promise<T>): Promise<T | 'late'> =>
  Promise.race([answer, sleep(AT_ONCE, 'late' as const, { ref: false })]);

/** Everything that does not touch the file system that hangs; loop0 is elsewhere. */
async function othersAnswer(t: Test, daemon: Daemon, files: TempDir): Promise<void> {
  t.not(await soon(daemon.client.daemon()), 'late', 'the daemon tells of itself');
  t.not(await soon(daemon.client.list()), 'late', 'devices are listed');
  const bound = await soon(daemon.client.find({ file: makeSparseFile(files.file('other'), MIB) }));
  if (bound === 'late') throw new Error('a bind elsewhere hangs');
  t.equal(
    await soon(daemon.client.clear(bound.number)).then((answer) => answer !== 'late'),
    true,
    'and cleared',
  );
  const info = await run(tool('nbdinfo'), ['--size', daemon.uri('loop0')], { timeoutMs: AT_ONCE });
  t.equal(info.stdout.trim(), String(MIB), 'a client is greeted and served');
}

t.test('binds that wait for a stopped server keep nothing else from being done', { skip }, async (t) => {
  using files = new TempDir();
  await using mount = await FuseMount.mount();
  const names = Array.from({ length: 9 }, (_, i) => `x${i}`);
  for (const name of names) makeSparseFile(mount.real(name), MIB);
  await using daemon = await Daemon.start({ devices: [makeSparseFile(files.file('a'), MIB)] });
  mount.hang();
  const binds = names.map((name) =>
    daemon.client.find({ file: mount.file(name) }).then(
      ({ file }) => file,
      (error: Error) => error.message,
    ),
  );
  await othersAnswer(t, daemon, files);
  const refused = await Promise.all(binds.slice(4));
  for (const message of refused)
    t.match(message, /^4 operations on files on .* have not come to an end for 5 s/);
  mount.goOn();
  t.strictSame(
    await Promise.all(binds.slice(0, 4)),
    names.slice(0, 4).map((name) => mount.file(name)),
  );
});

for (const operation of ['lock', 'getattr'] as const) {
  t.test(`a server that takes long over ${operation} is waited for by nobody else`, { skip }, async (t) => {
    using files = new TempDir();
    await using mount = await FuseMount.mount({ locks: true });
    makeSparseFile(mount.real('x'), MIB);
    await using daemon = await Daemon.start({ devices: [makeSparseFile(files.file('a'), MIB)] });
    mount.set({ delay: { [operation]: 20_000 } });
    const bind = daemon.client.find({ file: mount.file('x') }).catch((error: Error) => error);
    await sleep(300);
    await othersAnswer(t, daemon, files);
    mount.hang();
    mount.set({});
    await mount[Symbol.asyncDispose]();
    await bind;
  });
}

t.test(
  'a device whose file system hangs is listed, cleared by force, and no reason not to end',
  { skip },
  async (t) => {
    using files = new TempDir();
    await using mount = await FuseMount.mount();
    makeSparseFile(mount.real('x'), MIB);
    await using daemon = await Daemon.start({ devices: [makeSparseFile(files.file('a'), MIB)] });
    const { number } = await daemon.client.find({ file: mount.file('x') });
    mount.hang();
    const toggle = daemon.client.capacity(number).catch((error: Error) => error);
    await othersAnswer(t, daemon, files);
    t.not(await soon(daemon.client.list()), 'late');
    mount.goOn();
    await toggle;
    mount.hang();
    t.strictSame(await soon(daemon.client.clear(number, { force: true })), { outcome: 'cleared' });
    await othersAnswer(t, daemon, files);
    daemon.process.signal('SIGTERM');
    await sleep(AT_ONCE);
    mount.goOn();
    await daemon.process.wait(30_000);
    t.match(daemon.process.stderr, /is not closed yet: its file system does not answer/);
  },
);

t.test(
  'a device whose own requests hang is cleared by force at once, says so, and is forgotten',
  { skip },
  async (t) => {
    using files = new TempDir();
    using directory = new TempDir();
    await using mount = await FuseMount.mount();
    makeSparseFile(mount.real('x'), MIB);
    const image = makeSparseFile(files.file('a'), MIB);
    await using daemon = await Daemon.start({ directory, devices: [image] });
    const { number, name } = await daemon.client.find({ file: mount.file('x') });
    const session = await MixedSession.open(daemon.socket, { mode: 'structured', name });
    mount.hang();
    const write = session
      .ask({ type: Cmd.WRITE, offset: 0, payload: Buffer.alloc(4096, 1) })
      .catch(() => undefined);
    while ((await daemon.client.device(number)).counters.inFlight === 0) await sleep(10);
    const cleared = await soon(daemon.cli('nbdlosetup', '-d', name, '--force'));
    if (cleared === 'late') throw new Error('the clear hangs');
    t.match(cleared, {
      status: 0,
      stderr: /loop1: it hangs, and lets go of its file when its file system answers/,
    });
    t.match(await daemon.client.device(number), { state: 'rundown', file: mount.file('x') });
    t.match(await daemon.cliOk('nbdloop', 'status'), /^loop1: it hangs: it was cleared by force/m);
    t.strictSame(
      await soon(daemon.client.clear(number, { force: true })),
      { outcome: 'hanging' },
      'asked again',
    );
    await othersAnswer(t, daemon, files);
    t.equal(
      (await soon(daemon.client.free().then((free) => free.number))) !== number,
      true,
      'its number is kept',
    );
    mount.goOn();
    await write;
    while ((await daemon.client.device(number)).state !== 'unbound') await sleep(10);
    t.strictSame((await daemon.client.device(number)).warnings, []);
    await session[Symbol.asyncDispose]();
    await daemon.kill();
    await using second = await Daemon.start({ directory });
    t.strictSame(
      (await second.client.list()).map(({ file }) => file),
      [image],
      'it does not come back',
    );
  },
);

/** True once this process can't have a file's lock: its daemon has. */
async function isLocked(path: string): Promise<true | undefined> {
  using open = OpenFile.open(path);
  const { dev: device, ino: inode } = statSync(path, { bigint: true });
  const errno = await refusal(
    lockForWriting(open.fd, { path, device, inode }).then((lock) => lock.release()),
  );
  return errno === 'EBUSY' || undefined;
}

/** Writes to its first argument, an export, and waits for the answer. */
const WRITER = `
import nbd, sys
h = nbd.NBD(); h.connect_uri(sys.argv[1]); print('writing', flush=True); h.pwrite(bytes(65536), 0)
`;

t.test(
  'a daemon that was killed, and hangs in the kernel with its sockets and locks, is no obstacle to the next one',
  { skip: skipWithoutKernelLoop() || skipUnless('fsfreeze') },
  async (t) => {
    using files = new TempDir();
    using directory = new TempDir();
    await using frozen = await Freezable.make();
    const image = makeSparseFile(files.file('a'), MIB);
    await using first = await Daemon.start({ directory, devices: [image, frozen.file] });
    await frozen.hang();
    await using writer = start('/usr/bin/python3', ['-c', WRITER, first.uri('loop1')]);
    await writer.waitForOutput(/writing/, 30_000);
    await sleep(500);
    first.process.signal('SIGKILL');
    await sleep(500);
    t.notOk(first.process.isOver, 'it cannot end');
    try {
      await using second = Daemon.launch(directory);
      await second.process.waitForOutput(/control socket/, 60_000); // the sockets before it still take connections
      t.match(await second.client.device(0), { state: 'bound', file: image }, 'a file elsewhere is served');
      {
        await using session = await MixedSession.open(second.socket, { mode: 'structured', name: 'loop0' });
        const answer = await soon(
          session.ask({ type: Cmd.WRITE, offset: 0, payload: Buffer.alloc(4096, 1) }),
        );
        t.match(answer, { error: 0 });
      }
      t.match(await second.client.unrecovered(), [{ number: 1, errno: 'EAGAIN' }], 'its own waits for it');
      const other = makeSparseFile(files.file('b'), MIB);
      const bound = await second.client.find({ file: other });
      const uri = second.uri(`loop${bound.number}`);
      const info = await run(tool('nbdinfo'), ['--size', uri], { timeoutMs: 30_000 });
      t.equal(info.stdout.trim(), String(MIB), 'others are served');
      await frozen.goOn();
      await first.process.ended;
      while ((await second.client.unrecovered()).length > 0) await sleep(20);
      t.match(await second.client.device(1), { state: 'bound', file: frozen.file }, 'and is back by itself');
      await until('what was left behind is locked again', () => isLocked(image));
    } finally {
      await frozen.goOn().catch(() => undefined); // without it the first daemon never ends
    }
  },
);
