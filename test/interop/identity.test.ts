/** What a device is: the file that the caller means, by whatever name, in whatever mount namespace. */
import { mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { ControlClient } from '../../driver/control/client.js';
import { Daemon } from '../helpers/daemon.js';
import { skipWithoutKernelLoop } from '../helpers/kernel-loop.js';
import { describeFailure, run, start } from '../helpers/process.js';
import { makeSparseFile, TempDir } from '../helpers/temp.js';
import { skipBecause, skipUnless, tool } from '../helpers/tools.js';
import { until } from '../helpers/until.js';

t.setTimeout(290_000);

const MIB = 1 << 20;
const program = (name: string): string => new URL(`../../bin/${name}.js`, import.meta.url).pathname;

const needsRoot =
  skipUnless('unshare', 'mount') ||
  (process.getuid?.() === 0 ? false : skipBecause('only root can make a mount namespace'));

/** Runs a script with `lo` for nbdlosetup of this daemon; its standard output, byte for byte. */
async function shell(daemon: Daemon, dir: TempDir, script: string, under: string[] = []): Promise<Buffer> {
  const output = dir.file('output');
  const text = `exec > '${output}'; lo() { '${process.execPath}' '${program('nbdlosetup')}' "$@"; }\nset -e\n${script}`;
  const [first = '', ...rest] = [...under, 'sh', '-c', text];
  const ended = await run(first, rest, {
    env: { NBDLOOP_CONTROL: daemon.control, LC_ALL: 'C.UTF-8' },
  });
  if (ended.status !== 0) throw new Error(describeFailure('sh', [script], ended));
  return readFileSync(output);
}

/** The first bytes of an export, read by a real client. */
async function firstBytes(daemon: Daemon, name: string): Promise<string> {
  const ended = await run(tool('qemu-io'), ['-r', '-f', 'raw', '-c', 'read -v 0 16', daemon.uri(name)]);
  const bytes = /^00000000: +((?:[0-9a-f]{2} )+)/m.exec(ended.stdout)?.[1] ?? '';
  return Buffer.from(bytes.replaceAll(' ', ''), 'hex').toString('latin1');
}

const refusal = (operation: Promise<unknown>): Promise<string> =>
  operation.then(
    () => 'none',
    (error: Error & { errno?: string }) => `${error.errno}: ${error.message}`,
  );

t.test('a caller in another mount namespace has its own file bound', { skip: needsRoot }, async (t) => {
  using dir = new TempDir();
  for (const name of ['one', 'two']) {
    mkdirSync(dir.file(name));
    writeFileSync(dir.file(name, 'disk.img'), `${name} `.padEnd(512).repeat(2048));
  }
  const file = dir.file('one', 'disk.img');
  const { dev, ino } = statSync(dir.file('two', 'disk.img'), { bigint: true });
  await using daemon = await Daemon.start();
  await shell(
    daemon,
    dir,
    `mount --bind '${dir.file('two')}' '${dir.file('one')}'
    lo --no-attach -f '${file}'
    lo -j '${file}' | grep -q '^loop0: '
    mount -t tmpfs none '${dir.file('two')}'
    printf 'only here' > '${dir.file('two', 'only.img')}'
    truncate -s 1M '${dir.file('two', 'only.img')}'
    lo --no-attach -f '${dir.file('two', 'only.img')}'
    lo -L --no-attach -f --show '${file}' | grep -q /loop0`,
    ['unshare', '-m'],
  );
  t.match(await daemon.client.device(0), { backingDevice: Number(dev), backingInode: Number(ino) });
  t.match(await firstBytes(daemon, 'loop0'), /^two /, 'what the caller sees under the name');
  t.match(await firstBytes(daemon, 'loop1'), /^only here/, 'what only the caller can see');
  t.equal((await shell(daemon, dir, `lo -j '${file}'`)).toString(), '', 'here it is another file');
});

t.test(
  'a file that the caller does not see is not bound, though the daemon does',
  { skip: needsRoot },
  async (t) => {
    using dir = new TempDir();
    mkdirSync(dir.file('d'));
    const file = makeSparseFile(dir.file('d', 'disk.img'), MIB);
    await using daemon = await Daemon.start();
    const script = `mount -t tmpfs none '${dir.file('d')}'; ! lo --no-attach -f '${file}' 2>&1`;
    const said = (await shell(daemon, dir, script, ['unshare', '-m'])).toString();
    t.match(
      said,
      /^nbdlosetup: .*disk\.img: failed to set up loop device: no such file or directory \(EBADF\)\n$/,
    );
    t.strictSame(await daemon.client.list(), []);
  },
);

t.test('another file under the name is ESTALE, and the sentence names both', async (t) => {
  using dir = new TempDir();
  const file = makeSparseFile(dir.file('a.img'), MIB);
  const old = statSync(file, { bigint: true });
  await using daemon = await Daemon.start();
  const identity = { device: String(old.dev), inode: String(old.ino), birthTime: String(old.birthtimeNs) };
  const first = await daemon.client.find({ file, identity });
  t.match(first, { file, backingInode: Number(old.ino) });
  // Both exist, so that no inode number is used again.
  renameSync(file, dir.file('old.img'));
  makeSparseFile(file, MIB);
  const now = statSync(file, { bigint: true });
  const both = new RegExp(`^ESTALE: .*a\\.img .*inode ${now.ino} on .*inode ${old.ino} on `);
  t.match(await refusal(daemon.client.find({ file, identity })), both);
  t.match(await refusal(daemon.client.configure(0, { file, identity })), /^ESTALE|^EBUSY/);
  t.match(
    await refusal(daemon.client.find({ file, identity: { ...identity, inode: String(now.ino) } })),
    /^ESTALE: /,
    'the number alone does not make it the same',
  );
  rmSync(file);
  t.match(await refusal(daemon.client.find({ file, identity })), /^ESTALE: .*does not exist.*inode/);
  // A descriptor that leads elsewhere counts for nothing.
  t.match(await refusal(daemon.client.find({ file, identity, descriptor: 0 })), /^ESTALE: /);
  t.match(await refusal(daemon.client.find({ file, identity: { device: 1, inode: 'x' } })), /^EINVAL: /);
  await daemon.client.configure(await daemon.client.add().then(({ number }) => number), {
    file: dir.file('old.img'),
    identity,
    readOnly: true,
  });
  t.match(await refusal(daemon.client.changeFile(1, dir.file('old.img'), { identity })), 'none');
  t.match(
    await refusal(daemon.client.changeFile(1, dir.file('old.img'), { identity: { device: 1, inode: 1 } })),
    /^ESTALE: /,
  );
});

t.test('inode numbers beyond 2^63 are exact everywhere', { skip: needsRoot }, async (t) => {
  using dir = new TempDir();
  await using daemon = await Daemon.start();
  for (const name of ['lower', 'upper', 'merged']) mkdirSync(dir.file(name));
  const at = (name: string): string => `'${dir.file('merged', name)}'`;
  const said = await shell(
    daemon,
    dir,
    // With xino=on overlayfs puts the number of a layer's file system into the highest bits.
    `mount -t tmpfs none '${dir.file('lower')}'
    truncate -s 1M '${dir.file('lower')}'/a.img '${dir.file('lower')}'/b.img
    mount -t tmpfs none '${dir.file('upper')}'
    mkdir '${dir.file('upper')}'/u '${dir.file('upper')}'/w
    mount -t overlay none -o 'lowerdir=${dir.file('lower')},upperdir=${dir.file('upper')}/u,workdir=${dir.file('upper')}/w,xino=on' '${dir.file('merged')}'
    lo -r --no-attach -f ${at('a.img')}
    echo "inodes $(stat -c %i ${at('a.img')}) $(stat -c %i ${at('b.img')})"
    echo "-j b: $(lo -j ${at('b.img')})"
    lo -L -r --no-attach -f --show ${at('b.img')} | sed 's/?.*//'
    echo "-j b: $(lo -j ${at('b.img')} | sed 's/ .*//')"
    lo -n --raw -O BACK-INO
    lo -J -O BACK-INO | tr -d ' \\n'`,
    ['unshare', '-m'],
  );
  const [, a = '', b = ''] = /^inodes (\d+) (\d+)\n/.exec(said.toString()) ?? [];
  t.ok(BigInt(a) > 1n << 63n, `inode ${a}`);
  t.equal(Number(a), Number(b), 'not to be told apart as JSON numbers');
  t.equal(
    said.toString(),
    [
      `inodes ${a} ${b}`,
      '-j b: ',
      'nbd+unix:///loop1',
      '-j b: loop1:',
      a,
      b,
      `{"loopdevices":[{"back-ino":${a}},{"back-ino":${b}}]}`,
    ].join('\n'),
  );
  t.strictSame(
    (await daemon.client.list()).map(({ backingInode }) => backingInode),
    [a, b],
    'digits in the API',
  );
  t.match(await daemon.cliOk('nbdloop', 'status', '--json'), new RegExp(`"${a}"`));
});

/** Names with bytes that are no UTF-8, as printf of a shell takes them. */
const DIRTY = ['a\\351.img', 'd\\351/clean.img', '\\303\\251\\303 sp\\377\\tx.img'];

t.test('names that are no UTF-8 keep their bytes, and are shown as losetup shows them', async (t) => {
  using dir = new TempDir();
  await using daemon = await Daemon.start();
  const paths = DIRTY.map((name) => `"$(printf '${dir.path}/${name}')"`);
  const made = paths.map((file) => `mkdir -p "$(dirname ${file})"; truncate -s 1M ${file}`);
  const formats = ['LC_ALL=C.UTF-8 $L -n -l', 'LC_ALL=C $L -n -l', '$L -n --raw -l'];
  const ours = await shell(
    daemon,
    dir,
    [
      ...made,
      ...paths.map((file) => `lo --no-attach -f ${file}`),
      ...formats.map((format) => `${format.replace('$L', 'lo')} -O BACK-FILE`),
      `lo -J -O BACK-FILE | grep -aF '${dir.path}'`,
      "lo -a | sed 's/^[^ ]* //'",
      `lo -j ${paths[0]} | sed 's/^[^ ]* //'`,
    ].join('\n'),
  );
  t.match(ours.toString('latin1'), /a\\xe9\.img\n[\s\S]*a\xe9\.img/, 'escaped, and as it is');
  if (skipWithoutKernelLoop() !== false) return;
  // Of this machine's devices only ours.
  const each = (line: string): string => `for K in $A $B $C; do ${line} "$K"; done`;
  const theirs = await shell(
    daemon,
    dir,
    [
      ...['A', 'B', 'C'].map((name, i) => `${name}=$(losetup -f --show ${paths[i]})`),
      'trap \'losetup -d "$A"; losetup -d "$B"; losetup -d "$C"\' EXIT',
      ...formats.map((format) => each(`${format.replace('$L', 'losetup')} -O BACK-FILE`)),
      each('losetup -J -l -O BACK-FILE').replace('done', `done | grep -aF '${dir.path}'`),
      `${each('losetup')} | sed 's/^[^ ]* //'`,
      `losetup -j ${paths[0]} | sed 's/^[^ ]* //'`,
    ].join('\n'),
  );
  t.equal(ours.toString('latin1'), theirs.toString('latin1'));
});

t.test('such a name is found from its directory, by a link, after a crash, and by --device', async (t) => {
  using dir = new TempDir();
  const file = `${dir.path}/d\udce9/clean.img`;
  {
    await using daemon = await Daemon.start({ directory: dir });
    await shell(
      daemon,
      dir,
      `D="$(printf '${dir.path}/d\\351')"; mkdir "$D"; truncate -s 1M "$D/clean.img"; ln -s "$D" '${dir.path}/link'
      (cd "$D"; lo --no-attach -f clean.img)
      lo --no-attach -f '${dir.path}/link/./../link/clean.img'
      ! lo --no-attach -f "$(printf '/no\\351')" 2>'${dir.path}/said'`,
    );
    t.strictSame(
      (await daemon.client.list()).map((device) => device.file),
      [file, file],
    );
    t.match(
      readFileSync(dir.file('said'), 'utf8'),
      /^nbdlosetup: \/no\\xe9: failed to set up loop device: no such file or directory \(EBADF\)\n$/,
    );
    await daemon.kill();
  }
  {
    await using daemon = await Daemon.start({ directory: dir });
    t.strictSame(
      (await daemon.client.list()).map((device) => device.file),
      [file, file],
      'after a crash',
    );
  }
  for (const words of [`'${program('nbdloopd')}' --device "$F"`, `'${program('nbdloop')}' serve "$F"`]) {
    using sockets = new TempDir();
    const options = `--listen none --unix '${sockets.file('n')}' --control '${sockets.file('c.sock')}'`;
    const script = `F="$(printf '${dir.path}/d\\351/clean.img')"; exec '${process.execPath}' ${words} ${options}`;
    await using daemon = start('sh', ['-c', script]);
    await daemon.waitForOutput(/loop0: .*clean\.img \(1 MiB\)/);
    t.match(await new ControlClient(sockets.file('c.sock')).device(0), { file }, words);
    daemon.signal('SIGTERM');
    await daemon.ended;
  }
});

t.test(
  'what is shown follows a rename and a removal, as with losetup',
  { skip: skipWithoutKernelLoop() },
  async (t) => {
    using dir = new TempDir();
    await using daemon = await Daemon.start();
    const script = (list: string, device: (n: number) => string, bind: string): string => `
    cd '${dir.path}'; show() { echo "== $1"; ${list} -n -l -O BACK-FILE ${device(0)}; }
    associated() { ${list} -j "$1" | sed 's/^[^(]*//' | grep -F '${dir.path}' || echo none; }
    printf old > a.img; truncate -s 1M a.img; ${bind} a.img; show bound
    mv a.img b.img; show renamed; associated b.img; associated a.img
    rm b.img; show removed; associated b.img; associated '${dir.path}/b.img (deleted)'
    truncate -s 1M b.img; show 'made anew'; associated b.img
    mv b.img 'b.img (deleted)'; show 'another file has the name that is shown'; associated 'b.img (deleted)'`;
    const theirs = await shell(
      daemon,
      dir,
      `${script('losetup', () => '"$K"', 'bind').replace('\n', '\nbind() { K=$(losetup -f --show "$1"); };')}
    losetup -d "$K"; rm -f a.img b.img *deleted*`,
    );
    const ours = await shell(
      daemon,
      dir,
      script('lo', (n) => `loop${n}`, 'lo --no-attach -f'),
    );
    t.equal(ours.toString(), theirs.toString());
    t.match(ours.toString(), /== removed\n\S+b\.img \(deleted\)\nnone\n/);

    const named = dir.file('x (deleted)');
    makeSparseFile(named, MIB);
    t.equal(
      (
        await shell(daemon, dir, `lo --no-attach -f '${named}'; lo -n -O BACK-FILE loop1; lo -j '${named}'`)
      ).toString(),
      `${named}\nloop1: [${statSync(named).dev}]:${statSync(named).ino} (${named})\n`,
      'a file that is really named so',
    );
    t.equal(
      (
        await shell(
          daemon,
          dir,
          `lo -L --no-attach -f --show '${dir.file('b.img (deleted)')}' | sed 's/?.*//'`,
        )
      ).toString(),
      'nbd+unix:///loop2\n',
      '-L goes by the inode, too',
    );
  },
);

t.test('an image that qemu has open is bound with a warning, and not with --exclusive', async (t) => {
  using dir = new TempDir();
  const file = makeSparseFile(dir.file('a.img'), MIB);
  await using daemon = await Daemon.start();
  const holder = (...options: string[]) =>
    start(tool('qemu-io'), ['-f', 'raw', '-c', 'sleep 600000', ...options, file]);
  const bind = (...options: string[]) => daemon.cli('nbdlosetup', '--no-attach', '-f', ...options, file);
  const { ino } = statSync(file);
  const locked = (isLocked: boolean) =>
    until(`locked: ${isLocked}`, async () =>
      readFileSync('/proc/locks', 'utf8').includes(`:${ino} 10`) === isLocked ? true : undefined,
    );
  const isQuiet = { status: 0, stderr: '' };
  {
    await using _writer = holder();
    await locked(true);
    const writing =
      /^nbdlosetup: \S+: Warning: .*a\.img is in use as a disk image: .*qemu's write lock \(byte 101/;
    t.match(await bind(), { status: 0, stderr: writing });
    t.match((await daemon.client.device(0)).warnings, [/write lock/]);
    t.match(await bind('-r'), { status: 0, stderr: writing }, 'also for reading');
    t.match(await bind('--exclusive'), {
      status: 1,
      stderr: /a\.img is in use .*qemu's write lock.* \(EBUSY\)\n$/,
    });
    t.match(await refusal(daemon.client.find({ file, exclusive: true })), /^EBUSY: .*write lock/);
    t.equal((await daemon.client.list()).filter((device) => device.file !== null).length, 2);
  }
  await locked(false);
  {
    await using _reader = holder('-r');
    await locked(true);
    t.match(await bind('-r'), isQuiet, 'two readers');
    t.match(await bind('--exclusive'), { status: 1, stderr: /qemu's read lock \(byte 100.*EBUSY/ });
  }
  await locked(false);
  t.match(await bind('--exclusive'), isQuiet);
});
