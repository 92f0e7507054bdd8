import { cpSync, mkdirSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import t from 'tap';
import { Daemon } from '../helpers/daemon.js';
import { option, u32 } from '../helpers/handshake.js';
import { start } from '../helpers/process.js';
import { connectPeer } from '../helpers/raw-peers.js';
import { makeSparseFile, TempDir } from '../helpers/temp.js';
import { until } from '../helpers/until.js';

t.setTimeout(240_000);

const MIB = 1 << 20;

/** A session that takes `loop0` with EXPORT_NAME and then rests. */
const openSession = (daemon: Daemon) =>
  connectPeer(daemon.socket, Buffer.concat([u32(3), option(1, Buffer.from('loop0'))]));

const openers = (daemon: Daemon, wanted: number) =>
  until(`loop0 has ${wanted} openers`, async () =>
    (await daemon.client.device(0)).openers === wanted ? true : undefined,
  );

t.test('a device is bound, changed and let go with nbdlosetup alone', async (t) => {
  using dir = new TempDir();
  const file = makeSparseFile(dir.file('a.img'), 4 * MIB);
  await using daemon = await Daemon.start();
  const uri = await daemon.cliOk('nbdlosetup', '--no-attach', '-f', '--show', '-o', '1M', file);
  t.equal(uri, daemon.uri());
  t.match(await daemon.client.device(0), { size: 3 * MIB, offset: MIB, file });

  truncateSync(file, 5 * MIB);
  await daemon.cliOk('nbdlosetup', '-c', uri);
  t.equal((await daemon.client.device(0)).size, 4 * MIB, 'the URI names the device');
  await daemon.cliOk('nbdlosetup', '-b', '4096', 'loop0');
  t.equal((await daemon.client.device(0)).blockSize, 4096);
  await daemon.cliOk('nbdlosetup', '-b', '512', '--direct-io=off', 'loop0');
  t.match(await daemon.client.device(0), { blockSize: 512, directIo: false }, 'both at once');
  t.equal(await daemon.cliOk('nbdlosetup', '-f'), 'loop1');
  await daemon.cliOk('nbdlosetup', '--no-attach', 'loop7', file);
  t.equal(
    await daemon.cliOk('nbdlosetup', '-n', '-O', 'NAME'),
    'loop0\nloop7',
    'a device is made where none is',
  );
  const busy = await daemon.cli('nbdlosetup', '--no-attach', 'loop7', file);
  t.equal(busy.status, 1);
  t.match(busy.stderr, /^nbdlosetup: .*a\.img: failed to set up loop device: .*loop7.* \(EBUSY\)\n$/);

  const partly = await daemon.cli('nbdlosetup', '-d', 'loop9', '7', 'loop7');
  t.equal(partly.status, 1, 'one of three');
  t.equal(partly.stderr.split('\n').length, 3, 'a line for each that failed', { stderr: partly.stderr });
  await daemon.cliOk('nbdlosetup', '-D');
  t.equal(await daemon.cliOk('nbdlosetup'), '');
});

t.test('a relative path is the caller’s, and a link is followed', async (t) => {
  using dir = new TempDir();
  const file = makeSparseFile(dir.file('a.img'), MIB);
  await using daemon = await Daemon.start();
  const program = new URL('../../bin/nbdlosetup.js', import.meta.url).pathname;
  await using child = start(process.execPath, [program, '--no-attach', '-f', './a.img'], {
    cwd: dir.path,
    env: { NBDLOOP_CONTROL: daemon.control },
  });
  t.equal((await child.wait(30_000)).status, 0);
  t.equal((await daemon.client.device(0)).file, file);
});

t.test('detaching is lazy while a session is open, and at once with --force', async (t) => {
  using dir = new TempDir();
  const file = makeSparseFile(dir.file('a.img'), MIB);
  await using daemon = await Daemon.start({ devices: [file] });
  const first = await openSession(daemon);
  await openers(daemon, 1);
  await daemon.cliOk('nbdlosetup', '-d', 'loop0');
  t.match(await daemon.client.device(0), { state: 'bound', autoclear: true });
  first.destroy();
  await until('the last close has cleared it', async () =>
    (await daemon.client.device(0)).state === 'unbound' ? true : undefined,
  );

  await daemon.cliOk('nbdlosetup', '--no-attach', 'loop0', file);
  const second = await openSession(daemon);
  await openers(daemon, 1);
  await daemon.cliOk('nbdlosetup', '-d', '--force', 'loop0');
  t.match(await daemon.client.device(0), { state: 'unbound', file: null, openers: 1 }, 'the session stays');
  second.destroy();
  await openers(daemon, 0);
});

t.test('fifty callers of -f --show get fifty devices', async (t) => {
  using dir = new TempDir();
  const file = makeSparseFile(dir.file('a.img'), MIB);
  await using daemon = await Daemon.start();
  const shown = await Promise.all(
    Array.from({ length: 50 }, () => daemon.cli('nbdlosetup', '--no-attach', '-f', '--show', file)),
  );
  t.strictSame(
    shown.filter(({ status, stderr }) => status !== 0 || stderr !== ''),
    [],
  );
  t.equal(new Set(shown.map(({ stdout }) => stdout)).size, 50);
});

t.test('nbdloop shows the daemon, its devices and how to reach them', async (t) => {
  using dir = new TempDir();
  const file = makeSparseFile(dir.file('a.img'), MIB);
  await using daemon = await Daemon.start({ devices: [file] });
  const text = await daemon.cliOk('nbdloop', 'status');
  t.match(text, new RegExp(`^nbdloopd \\S+, process ${daemon.pid}, up `));
  t.match(text, /^loop0\s+bound\s+1 MiB/m);
  t.match(JSON.parse(await daemon.cliOk('nbdloop', 'status', '--json')), {
    daemon: { pid: daemon.pid },
    devices: [{ name: 'loop0', file }],
  });
  t.equal(await daemon.cliOk('nbdloop', 'uri', 'loop0'), daemon.uri());
  t.equal(await daemon.cliOk('nbdloop', 'uri', '--control', daemon.control, '0'), daemon.uri());
  t.match(await daemon.cliOk('nbdloop', 'top', '-n', '1', '-i', '0.1'), /^DEVICE .*\nloop0 /);
  t.match(await daemon.cliOk('nbdloop', 'lockdep'), /loMutex/);
  t.match(await daemon.cliOk('nbdloop', 'lockdep', '--dot'), /^digraph[\s\S]*}$/);
  t.match(JSON.parse(await daemon.cliOk('nbdloop', 'lockdep', '--json')), { reports: [] });
});

t.test('nbdloop events prints each change after it happened', async (t) => {
  using dir = new TempDir();
  const file = makeSparseFile(dir.file('a.img'), MIB);
  await using daemon = await Daemon.start();
  const program = new URL('../../bin/nbdloop.js', import.meta.url).pathname;
  await using events = start(process.execPath, [program, 'events', '--control', daemon.control]);
  // Whether the stream is open is not told: changes are made until one is seen.
  await until('an event is seen', async () => {
    await daemon.client.find({ file });
    await daemon.client.clear(0);
    return events.stdout === '' ? undefined : true;
  });
  await daemon.client.find({ file, readOnly: true });
  const [line] = await events.waitForOutput(new RegExp(`^\\d+ loop0 bind ${file} 1 MiB ro$`, 'm'));
  t.ok(line);
  events.signal('SIGINT');
});

t.test('what cannot be done is one sentence with an errno name, and exit status 1', async (t) => {
  await using daemon = await Daemon.start();
  const cases: ['nbdlosetup' | 'nbdloop', string[], RegExp][] = [
    ['nbdloop', ['uri', 'loop3'], /loop3.* \(ENODEV\)$/],
    ['nbdloop', ['uri', '/dev/loop3'], /kernel's own.* \(ENODEV\)$/],
    ['nbdloop', ['attach', 'loop3'], /loop3.* \(ENODEV\)$/],
    ['nbdloop', ['detach', 'loop3'], /loop3.* \(ENODEV\)$/],
    ['nbdloop', ['status', '--control', '/nonexistent/c.sock'], /no nbdloopd is listening .* \(ENOENT\)$/],
    ['nbdloop', ['frobnicate'], /unknown command/],
    ['nbdloop', ['top', '-i', 'soon'], /not a number of seconds/],
    ['nbdlosetup', ['-d', 'sda'], /^nbdlosetup: sda: failed to use device: No such device \(ENODEV\)$/],
    ['nbdlosetup', ['loop3'], /loop3.* \(ENODEV\)$/],
    ['nbdlosetup', ['-c', 'loop3'], /^nbdlosetup: loop3: set capacity failed: .* \(ENODEV\)$/],
    ['nbdlosetup', ['-b', '512', 'loop3'], /set logical block size failed: .* \(ENODEV\)$/],
    ['nbdlosetup', ['--direct-io', 'loop3'], /set direct io failed: .* \(ENODEV\)$/],
  ];
  for (const [program, args, pattern] of cases) {
    const ended = await daemon.cli(program, ...args);
    const title = `${program} ${args.join(' ')}`;
    t.equal(ended.status, 1, title);
    t.equal(ended.stdout, '', `${title}: prints nothing`);
    const lines = ended.stderr.trim().split('\n');
    t.equal(lines.length, 1, `${title}: one sentence`, { lines });
    t.match(lines[0], pattern, title);
  }
});

t.test('nbdloop serve runs a daemon in the foreground that ends with it', async (t) => {
  using dir = new TempDir();
  const files = [makeSparseFile(dir.file('a.img'), MIB), makeSparseFile(dir.file('b.img'), 2 * MIB)];
  const program = new URL('../../bin/nbdloop.js', import.meta.url).pathname;
  const options = ['--listen', 'none', '--unix', dir.file('n.sock'), '--control', dir.file('c.sock')];
  await using serving = start(process.execPath, [program, 'serve', ...files, ...options]);
  await serving.waitForOutput(/nbd-client -unix \S+n\.sock -N loop0 \/dev\/nbd0/);
  t.match(serving.stdout, /loop1: .*b\.img \(2 MiB\)/);
  serving.signal('SIGTERM');
  const ended = await serving.wait(20_000);
  t.equal(ended.status, 0, 'exit status', { ended });
});

t.test('a daemon whose koffi cannot be loaded says so and ends', async (t) => {
  using dir = new TempDir();
  cpSync('dist/bin', dir.file('dist', 'bin'), { recursive: true });
  cpSync('package.json', dir.file('package.json'));
  mkdirSync(dir.file('node_modules'));
  // All that the daemon needs but the one.
  symlinkSync(resolve('node_modules', 'commander'), dir.file('node_modules', 'commander'));
  mkdirSync(dir.file('node_modules', 'koffi'));
  writeFileSync(
    dir.file('node_modules', 'koffi', 'index.js'),
    "throw new Error('no build for this machine')",
  );
  const options = ['--listen', 'none', '--unix', dir.file('n.sock'), '--control', dir.file('c.sock')];
  await using daemon = start(process.execPath, [dir.file('dist', 'bin', 'nbdloopd.js'), ...options]);
  const ended = await daemon.wait(30_000);
  t.equal(ended.status, 1, 'exit status', { ended });
  t.equal(
    ended.stderr,
    'nbdloopd: koffi, which makes the system calls, cannot be loaded on this machine: no build for this machine (ENOSYS)\n',
  );
});
