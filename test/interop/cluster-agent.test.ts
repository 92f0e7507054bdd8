/** ocf:nbdloop:device as Pacemaker calls it: by the tester of resource-agents, and where that does not look. */
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { resolve } from 'node:path';
import t from 'tap';
import { freePort } from '../helpers/daemon.js';
import { Freezable } from '../helpers/freezable.js';
import { FuseMount, skipWithoutFuse } from '../helpers/fuse/fuse-mount.js';
import { skipWithoutKernelLoop } from '../helpers/kernel-loop.js';
import { NbdSession } from '../helpers/nbd-session.js';
import { type Ended, type RunningProcess, run, runOk, start } from '../helpers/process.js';
import { makeRandomFile, TempDir } from '../helpers/temp.js';
import { skipBecause, skipUnless, tool } from '../helpers/tools.js';

t.setTimeout(180_000);

const MIB = 1 << 20;
const isRoot = process.getuid?.() === 0;
const skip = skipUnless('ocf-tester', 'xmllint') || (isRoot ? false : skipBecause('the agent runs as root'));

/** Of the tree under test, whatever is installed. */
function program(dir: TempDir, name: string): string {
  const file = dir.file(name);
  writeFileSync(file, `#!/bin/sh\nexec '${process.execPath}' '${resolve('dist/bin', `${name}.js`)}' "$@"\n`);
  chmodSync(file, 0o755);
  return file;
}

/** It may wait for whoever reaps it. */
function hasEnded(pid: number | undefined): boolean {
  const status = `/proc/${pid}/status`;
  return !existsSync(status) || /^State:\s+Z/m.test(readFileSync(status, 'latin1'));
}

type Parameters = Readonly<Record<string, string>>;

/** The agent, as Pacemaker calls it. */
function asked(agent: string, instance: string, action: string, parameters: Parameters): RunningProcess {
  const given = Object.entries(parameters).map(([name, value]) => [`OCF_RESKEY_${name}`, value]);
  const env = { ...Object.fromEntries(given), OCF_ROOT: '/usr/lib/ocf', OCF_RESOURCE_INSTANCE: instance };
  return start(agent, [action], { env });
}

t.test('ocf:nbdloop:device', { skip }, async (t) => {
  using dir = new TempDir();
  chmodSync(dir.path, 0o755); // the tester looks with the rights of nobody
  const [nbdloopd, nbdloop] = [program(dir, 'nbdloopd'), program(dir, 'nbdloop')];
  const root = dir.file('ocf');
  const agent = (await runOk(nbdloop, ['cluster', 'install', '--root', root])).trim();
  t.equal(agent, `${root}/resource.d/nbdloop/device`);
  const parameters = {
    file: makeRandomFile(dir.file('disk.img'), MIB),
    listen: `127.0.0.1:${await freePort()}`,
    nbdloopd,
    nbdloop,
  };

  await t.test('passes ocf-tester', async (t) => {
    const options = Object.entries(parameters).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
    const args = ['-n', `tested-${process.pid}`, ...options, agent];
    const ended = await run(tool('ocf-tester'), args, {
      env: { OCF_ROOT: '/usr/lib/ocf' },
      timeoutMs: 150_000,
    });
    t.equal(ended.status, 0, ended.stdout);
    t.match(ended.stdout, /passed all tests/);
  });

  await t.test('a daemon that answers nothing is not well, and is gone when stop says so', async (t) => {
    const instance = `stopped-${process.pid}`;
    const ask = (action: string, more: Parameters = {}): Promise<Ended> =>
      asked(agent, instance, action, { ...parameters, ...more }).wait(60_000);
    t.equal((await ask('monitor')).status, 7, 'OCF_NOT_RUNNING');
    t.equal((await ask('start')).status, 0);
    t.equal((await ask('monitor')).status, 0);
    t.equal((await ask('reload-agent')).status, 0);
    const [pid] = readFileSync(`/run/nbdloop-cluster/${instance}/pid`, 'latin1').split(' ').map(Number);
    process.kill(pid ?? 0, 'SIGSTOP');
    const unwell = await ask('monitor', { read_timeout: '2' });
    t.equal(unwell.status, 1, 'OCF_ERR_GENERIC');
    t.match(unwell.stderr, 'no answer within 2 s');
    t.equal((await ask('stop')).status, 0);
    t.ok(hasEnded(pid));
    t.equal((await ask('stop')).status, 0, 'what is stopped is stopped');
    t.equal((await ask('validate-all', { file: 'relative' })).status, 6, 'OCF_ERR_CONFIGURED');
    t.equal((await ask('start', { file: '/none' })).status, 5, 'OCF_ERR_INSTALLED');
  });

  await t.test(
    'one of which a thread waits in the kernel is not stopped before that has ended',
    { skip: skipWithoutKernelLoop() },
    async (t) => {
      await using files = await Freezable.make(MIB);
      const instance = `hanging-${process.pid}`;
      const ask = (action: string, timeout = '60000'): RunningProcess =>
        asked(agent, instance, action, { ...parameters, file: files.file, CRM_meta_timeout: timeout });
      t.equal((await ask('start').wait(60_000)).status, 0);
      const session = await NbdSession.open(`/run/nbdloop-cluster/${instance}/nbd.sock`, instance);
      await files.hang();
      session.write(0, Buffer.alloc(4096)).catch(() => {
        /* nobody answers any more */
      });
      await using stop = ask('stop', '4000');
      await stop.waitForOutput(/can't be killed: [1-9]\d* of its threads hang in the kernel/);
      await files.goOn();
      t.equal((await stop.wait(60_000)).status, 0);
      t.equal((await ask('monitor').wait(60_000)).status, 7, 'OCF_NOT_RUNNING');
    },
  );

  await t.test(
    'a file that its servers do not tell of is waited for',
    { skip: skipWithoutFuse() },
    async (t) => {
      await using mount = await FuseMount.mount();
      makeRandomFile(mount.real('disk.img'), MIB);
      const instance = `waiting-${process.pid}`;
      const ask = (action: string): RunningProcess =>
        asked(agent, instance, action, { ...parameters, file: mount.file('disk.img') });
      mount.set({ fail: { getattr: constants.errno.ENOTCONN } });
      await using begun = ask('start');
      await begun.waitForOutput(/waiting for the file: .* not connected/);
      mount.set({});
      t.equal((await begun.wait(60_000)).status, 0);
      t.equal((await ask('stop').wait(60_000)).status, 0);
    },
  );

  await t.test('what a running daemon can take over is reloadable, and nothing else', async (t) => {
    const said = await run(agent, ['meta-data'], { env: { OCF_ROOT: '/usr/lib/ocf' } });
    const names = [...said.stdout.matchAll(/<parameter name="(\w+)"[^>]*reloadable="1"/g)].map(
      ([, name]) => name,
    );
    t.strictSame(names, ['read_timeout']);
  });
});
