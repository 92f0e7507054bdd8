/** Names and descriptions of exports, as the tools and real clients see them. */

import { renameSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { Daemon, type DaemonOptions, freePort } from '../helpers/daemon.js';
import { run } from '../helpers/process.js';
import { refusal } from '../helpers/refusal.js';
import { SteppingClient } from '../helpers/stepping-clients.js';
import { makeSparseFile, TempDir } from '../helpers/temp.js';
import { skipUnless, tool } from '../helpers/tools.js';

t.setTimeout(300_000);
const skip = skipUnless('nbdinfo');
const MIB = 1 << 20;
/** Of nbdinfo. */
const REFUSED = /server replied with error/;

interface Told {
  readonly 'export-name': string;
  readonly description?: string;
}

const told = async (...args: string[]): Promise<readonly Told[]> => {
  const { status, stdout, stderr } = await run(tool('nbdinfo'), ['--json', ...args]);
  return status === 0 ? JSON.parse(stdout).exports : [{ 'export-name': stderr }];
};
const nameAt = async (daemon: Daemon, name: string): Promise<string | undefined> =>
  (await told(daemon.uri(name)))[0]?.['export-name'];

t.test(
  'tools give a name, show it, take it away; clients list it and are told of it',
  { skip },
  async (t) => {
    using files = new TempDir();
    const image = makeSparseFile(files.file('a.img'), MIB);
    await using daemon = await Daemon.start({ devices: [makeSparseFile(files.file('b.img'), MIB)] });
    const losetup = (...args: string[]) => daemon.cli('nbdlosetup', ...args);
    const words = ['--name', 'data base', '--description', 'of the shop'];
    t.match(await losetup('--no-attach', '-f', '--show', ...words, image), {
      status: 0,
      stdout: /^nbd\+unix:\/\/\/data%20base\?socket=.*\n$/,
    });
    t.match(await told('--list', daemon.uri('')), [
      { 'export-name': 'loop0' },
      { 'export-name': 'data base', description: /^of the shop; uuid=[0-9a-f-]{36}$/ },
      { 'export-name': 'loop1', description: /^of the shop; uuid=/ },
    ]);
    t.equal(await nameAt(daemon, 'loop1'), 'loop1');
    t.match(await losetup('-nO', 'NAME,EXPORT,DESCRIPTION', 'data base'), {
      stdout: /^loop1 data base of the shop\n$/,
    });
    t.match(await losetup('-JO', 'EXPORT', daemon.uri('data%20base')), { stdout: /"export": "data base"/ });
    t.match(await daemon.cliOk('nbdloop', 'status'), /^loop1 +data base +bound/m);
    t.match(await daemon.cliOk('nbdloop', 'uri', '--all', 'data base'), /\/data%20base\?.*\n.*\/loop1\?/);

    t.match(await losetup('--name', 'db', 'data base'), { status: 0, stderr: '' });
    t.match(await losetup('--name', 'db', 'loop0'), {
      status: 1,
      stderr: `nbdlosetup: loop0: set name failed: loop0 can't be exported as "db": loop1 has that name (EEXIST)\n`,
    });
    t.match(await losetup('--name', 'loop7', 'loop0'), { status: 1, stderr: /EINVAL/ });
    t.match(await losetup('--name', 'x'.repeat(4097), 'loop0'), { status: 1, stderr: /4096 are the most/ });
    t.match(await losetup('-d', '--name', 'x', 'loop0'), { status: 1, stderr: /--name goes with/ });
    t.match(await losetup('-d', 'nothing'), {
      status: 1,
      stderr: /nothing: failed to use device: No such device/,
    });
    const { client } = daemon;
    t.equal(await refusal(client.find({ file: image, exportName: 'db' })), 'EEXIST');
    t.equal((await client.list()).filter(({ state }) => state === 'bound').length, 2, 'nothing was bound');
    t.equal((await client.settings(1, { exportName: '', description: '' })).exportName, null);
    t.match(await nameAt(daemon, 'db'), REFUSED);
    t.match(await told(daemon.uri('loop1')), [{ description: /^loop1: .*a\.img; uuid=/ }]);
    await client.settings(1, { exportName: 'db' });
    t.match(await losetup('-d', 'db'), { status: 0 });
    t.match(await nameAt(daemon, 'db'), REFUSED);
  },
);

t.test('names outlive every end of the daemon; one that is down keeps its own', { skip }, async (t) => {
  using files = new TempDir();
  using directory = new TempDir();
  const image = makeSparseFile(files.file('a.img'), MIB);
  const args = ['--name', 'db', '--description', 'words'];
  const options: DaemonOptions = { directory, devices: [image], args };
  let daemon = await Daemon.start(options);
  const rest: Daemon[] = [];
  t.teardown(async () => {
    for (const one of rest) await one[Symbol.asyncDispose]();
  });
  rest.push(daemon);
  await daemon.client.settings(0, { exportName: 'renamed' });
  const again = async (how: string): Promise<void> => {
    daemon = await Daemon.start(options);
    rest.push(daemon);
    t.match(await daemon.client.device(0), { exportName: 'renamed', description: 'words' }, how);
    t.equal(await nameAt(daemon, ''), 'renamed', how);
  };
  await daemon.stop();
  await again('SIGTERM');
  await daemon.kill();
  await again('SIGKILL');
  const successor = Daemon.launch(directory, { args: ['--handover'] });
  rest.push(successor);
  await daemon.process.ended;
  await successor.process.waitForOutput(/renamed/);
  t.equal(await nameAt(successor, 'renamed'), 'renamed', 'handover');
  await successor.kill();

  renameSync(image, `${image}.away`);
  daemon = await Daemon.start({ directory });
  rest.push(daemon);
  t.match(await daemon.client.unrecovered(), [{ number: 0, exportName: 'renamed' }]);
  t.match(await nameAt(daemon, 'renamed'), REFUSED);
  const other = makeSparseFile(files.file('other.img'), MIB);
  t.equal(await refusal(daemon.client.find({ file: other, exportName: 'renamed' })), 'EEXIST');
  await daemon.cliOk('nbdloop', 'recover', 'renamed', '--file', `${image}.away`);
  t.equal(await nameAt(daemon, 'renamed'), 'renamed', 'recovered');
});

t.test('the default export is the one that was named at the start', { skip }, async (t) => {
  using files = new TempDir();
  const devices = ['a', 'b'].map((name) => makeSparseFile(files.file(name), MIB));
  const names = ['--name', '', '--name', 'db'];
  for (const [option, expected] of [
    [[], 'loop0'],
    [['--default-export', 'db'], 'db'],
    [['--default-export', 'loop1'], 'db'],
    [['--default-export', ''], REFUSED],
    [['--default-export', 'none such'], REFUSED],
  ] as const) {
    await using daemon = await Daemon.start({ devices, args: [...names, ...option] });
    t.match(await nameAt(daemon, ''), expected, option.join(' '));
  }
  using directory = new TempDir();
  await using spare = Daemon.launch(directory, { devices, args: ['--name', 'a', '--name', 'a'] });
  t.match(await spare.process.wait(30_000), {
    status: 1,
    stderr: /loop1 can't be exported as "a": loop0 has that/,
  });
});

/** What an export begins with. */
const letters = (path: string, letter: string): string => {
  writeFileSync(path, letter.repeat(MIB));
  return path;
};

t.test(
  'libnbd, qemu and @vates/nbd-client go on through a reload, a rename, a restart and another number',
  { skip: skipUnless('nbdinfo', 'qemu-io', 'python3', 'npm') },
  async (t) => {
    using files = new TempDir();
    using directory = new TempDir();
    const [db, other] = [letters(files.file('db.img'), 'd'), letters(files.file('other.img'), 'o')];
    const port = await freePort();
    const where = { port, exportName: 'db' };
    const first = await Daemon.start({ directory, port, devices: [db], args: ['--forget', '--name', 'db'] });
    t.teardown(() => first[Symbol.asyncDispose]());
    await using libnbd = SteppingClient.libnbd(files, where);
    await using qemu = SteppingClient.qemu(files, where);
    await using vates = await SteppingClient.vates(files, where);
    const clients = [libnbd, qemu, vates];
    const allRead = async (when: string): Promise<void> => {
      for (const client of clients) t.equal(await client.read(), 'd', `${client.name}: ${when}`);
    };
    await allRead('connected');
    first.process.signal('SIGHUP');
    await first.cliOk('nbdloop', 'reload');
    await allRead('after a reload');
    await first.cliOk('nbdlosetup', '--name', 'elsewhere', 'db');
    await allRead('while the export has another name');
    await first.cliOk('nbdlosetup', '--name', 'db', 'elsewhere');
    await first.stop();
    const args = ['--name', '', '--name', 'db'];
    await using second = await Daemon.start({ directory, port, devices: [other, db], args });
    t.match(await second.client.device(0), { exportName: null }, 'the number is another file');
    await allRead('after a restart, where the export has another number');
  },
);
