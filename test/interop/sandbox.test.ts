import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import t from 'tap';
import { ControlClient } from '../../driver/control/client.js';
import { run, runOk, start } from '../helpers/process.js';
import { makeRandomFile, makeSparseFile, TempDir } from '../helpers/temp.js';
import { skipUnless, tool } from '../helpers/tools.js';

t.setTimeout(120_000);

const NBDLOOPD = resolve('dist/bin/nbdloopd.js');
const MIB = 1 << 20;

/** systemd's groups of system calls, as it prints them: a name at a line's start, then its members, indented. */
async function systemCallGroups(): Promise<Map<string, string[]>> {
  const groups = new Map<string, string[]>();
  let members: string[] = [];
  for (const line of (await runOk(tool('systemd-analyze'), ['syscall-filter'])).split('\n')) {
    if (line.startsWith('@')) {
      members = [];
      groups.set(line.trim(), members);
    } else if (/^\s+[@\w-]+$/.test(line)) members.push(line.trim());
  }
  return groups;
}

/** What SystemCallFilter= of the unit leaves: its lines in their order, `~` takes away. */
async function allowedSystemCalls(unit: string): Promise<Set<string>> {
  const groups = await systemCallGroups();
  const expand = (name: string): string[] =>
    name.startsWith('@') ? (groups.get(name) ?? []).flatMap(expand) : [name];
  const allowed = new Set<string>();
  for (const [, without = '', names = ''] of unit.matchAll(/^SystemCallFilter=(~?)(.*)$/gm)) {
    for (const call of names.trim().split(' ').flatMap(expand)) {
      if (without === '') allowed.add(call);
      else allowed.delete(call);
    }
  }
  return allowed;
}

t.test(
  'the system calls of a daemon that starts, serves and ends are those that its unit allows',
  { skip: skipUnless('strace', 'systemd-analyze', 'nbdcopy') },
  async (t) => {
    using dir = new TempDir();
    const image = makeRandomFile(dir.file('a.img'), 4 * MIB);
    const other = makeSparseFile(dir.file('b.img'), 4 * MIB);
    const options = [
      ...['--listen', 'none', '--unix', dir.file('n.sock'), '--control', dir.file('c.sock')],
      ...['--device', image, '--log-level', 'error'],
    ];
    await using traced = start(tool('strace'), [
      ...['-f', '-c', '-o', dir.file('calls'), process.execPath, NBDLOOPD],
      ...options,
    ]);
    await traced.waitForOutput(/loop0: /, 60_000);
    const client = new ControlClient(dir.file('c.sock'));
    await client.find({ file: other });
    // What the file system may refuse is of no interest here: what is tried is.
    await client.directIo(1, true).catch(() => undefined);
    const uri = (name: string) => `nbd+unix:///${name}?socket=${dir.file('n.sock')}`;
    await runOk(tool('nbdcopy'), ['--flush', image, uri('loop1')]);
    await runOk(tool('nbdcopy'), [uri('loop1'), dir.file('copy.img')]);
    await runOk('cmp', [image, dir.file('copy.img')]);
    await client.clear(1);
    process.kill((await client.daemon()).pid, 'SIGTERM');
    t.match(await traced.wait(60_000), { status: 0 });

    const calls = readFileSync(dir.file('calls'), 'utf8')
      .split('\n')
      .map((line) => /^\s*\d+\.\d+ .* (\w+)$/.exec(line)?.[1])
      .filter((name) => name !== undefined && name !== 'total');
    t.ok(calls.includes('pwrite64') && calls.includes('io_uring_setup'), 'the work was seen', { calls });
    const allowed = await allowedSystemCalls(readFileSync('packaging/systemd/nbdloopd.service', 'utf8'));
    t.ok(
      allowed.has('read') && !allowed.has('reboot') && !allowed.has('init_module'),
      'the filter is understood',
    );
    t.strictSame(
      calls.filter((name) => !allowed.has(name ?? '')),
      [],
    );
  },
);

t.test(
  'systemd’s own socket activation: two sockets, started by the first client',
  { skip: skipUnless('systemd-socket-activate', 'nbdinfo') },
  async (t) => {
    using dir = new TempDir();
    const image = makeSparseFile(dir.file('a.img'), MIB);
    const [readWrite, readOnly] = [dir.file('rw.sock'), dir.file('ro.sock')];
    await using activator = start(tool('systemd-socket-activate'), [
      ...['--listen', readWrite, '--listen', readOnly, '--fdname', 'nbd:nbd-ro'],
      ...[process.execPath, NBDLOOPD, '--control', dir.file('c.sock'), '--device', image],
    ]);
    await activator.waitForOutput(/Listening on .*ro\.sock/);
    const isReadOnly = async (socket: string): Promise<boolean> => {
      const said = await run(tool('nbdinfo'), ['--json', `nbd+unix:///loop0?socket=${socket}`]);
      return JSON.parse(said.stdout).exports[0].is_read_only;
    };
    t.equal(await isReadOnly(readWrite), false);
    t.equal(await isReadOnly(readOnly), true);
    activator.signal('SIGTERM');
    t.match(await activator.wait(20_000), { status: 0, timedOut: false });
  },
);
