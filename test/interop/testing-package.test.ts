/** `nbdloop/testing` as a stranger has it: from the package, in a project of its own, on each Node. */
import { mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import t, { type Test } from 'tap';
import { TestDisk } from '../../driver/testing.js';
import { run, runOk, start } from '../helpers/process.js';
import { TempDir } from '../helpers/temp.js';
import { skipBecause, skipUnless } from '../helpers/tools.js';
import { nodeRelease, OTHER_MAJORS, ownNodeArch } from '../runner/node-releases.js';

t.setTimeout(400_000);

const TESTS = `
import { TestDisk } from 'nbdloop/testing';
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';

const run = promisify(execFile);
const io = (disk, ...commands) => run('qemu-io', ['-f', 'raw', ...commands.flatMap((one) => ['-c', one]), disk.uri]);

test('all that a disk can do', async (t) => {
  const disk = await TestDisk.start({ size: 1 << 20, log: true, port: 0, limits: { iops: 1000 }, faults: [{ kind: 'delay' , delay: { distribution: 'fixed', ms: 1 }, id: 'slow' }] });
  t.after(() => disk.close());
  assert.equal(disk.size, 1 << 20);
  assert.equal(disk.uris.length, 2);
  assert.ok(existsSync(disk.socket) && existsSync(disk.file) && existsSync(disk.log));
  assert.equal(disk.faults[0].id, 'slow');
  await disk.addFaults({ kind: 'errno', errno: 'EIO', operations: ['read'], id: 'bad', seed: 1 });
  await assert.rejects(io(disk, 'read 0 4k'));
  await disk.removeFaults('bad');
  await io(disk, 'read 0 4k');
  await disk.setFaults({ kind: 'hang', operations: ['write'], id: 'held' });
  const held = io(disk, 'write -P 1 0 4k', 'flush');
  while (disk.faults[0].held === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  await disk.release('held');
  await held;
  await disk.clearFaults();
  assert.deepEqual(disk.faults, []);
  await disk.limit({ iops: null, bytesWrite: 1 << 24 });
  assert.equal(disk.limits.bytesWrite, 1 << 24);
  await disk.mark('here');
  await io(disk, 'write -P 2 0 4k');
  const left = await disk.powerCut({ keep: 'random', seed: 3, tear: true });
  assert.equal(left.seed, 3);
  assert.ok(disk.hits.length >= 3);
  assert.ok(disk.entries().some((line) => line.endsWith('mark here')));
  const onto = join(process.cwd(), 'image-' + process.pid);
  const { entries, failed } = await disk.replay({ onto, toMark: 'here', eachFlush: 'test -s "$NBDLOOP_IMAGE"' });
  assert.ok(entries > 0 && failed === null);
  assert.equal(readFileSync(onto)[0], 1);
  await disk.close();
  await disk.close();
  assert.ok(!existsSync(disk.socket));
});

test('what is wrong is told in a sentence', async (t) => {
  await assert.rejects(TestDisk.start({ file: '/no/such/file' }), (error) => error.errno === 'EBADF' && /no.such.file/.test(error.message));
  await assert.rejects(TestDisk.start({ faults: [{ kind: 'nonsense' }] }), { errno: 'EINVAL' });
  const disk = await TestDisk.start();
  t.after(() => disk.close());
  await assert.rejects(disk.setFaults({ kind: 'errno', errno: 'ENOTHING' }), { errno: 'EINVAL' });
  await assert.rejects(disk.removeFaults('nobody'), { errno: 'ENOENT' });
  await assert.rejects(disk.limit({ iops: -1 }), { errno: 'EINVAL' });
  assert.throws(() => disk.entries(), /no log/);
  await assert.rejects(disk.mark('here'), { errno: 'ENXIO' });
  await disk.close();
  await assert.rejects(disk.setFaults({ kind: 'errno' }), /is closed/);
  await assert.rejects(disk.powerCut(), /is closed/);
});
`;

const THROWS = `
import { TestDisk } from 'nbdloop/testing';
import { test } from 'node:test';
test('throws', async (t) => {
  const disk = await TestDisk.start();
  t.after(() => disk.close());
  await disk.setFaults({ kind: 'hang' });
  throw new Error('on purpose');
});
`;

const UNCAUGHT = `
import { TestDisk } from 'nbdloop/testing';
const disk = await TestDisk.start();
setTimeout(() => { throw new Error('on purpose'); }, 10);
`;

const STAYS = `
import { TestDisk } from 'nbdloop/testing';
const disk = await TestDisk.start({ log: true });
console.log('serves ' + disk.file);
setInterval(() => {}, 1000);
`;

const TYPED = `
import { type FaultEvent, type FaultRule, type Limits, type PowerCutResult, type Replayed, TestDisk } from 'nbdloop/testing';
const rule: FaultRule = { kind: 'torn', sectors: 3, operations: ['write'] };
await using disk = await TestDisk.start({ faults: [rule], log: true });
const cut: PowerCutResult = await disk.powerCut({ keep: 'none' });
const limits: Limits = disk.limits;
const hits: readonly FaultEvent[] = disk.hits;
const replayed: Replayed = await disk.replay({ onto: 'image' });
console.log(cut.kept, limits.iops, hits.length, replayed.entries, disk.faults.map(({ seen }) => seen));
`;

/** Who has a file open whose name begins so. */
const holders = (prefix: string): string[] =>
  readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      return readdirSync(`/proc/${pid}/fd`).some((fd) => linkOf(`/proc/${pid}/fd/${fd}`).startsWith(prefix));
    } catch {
      return false;
    }
  });

const linkOf = (path: string): string => {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
};

interface Stranger {
  readonly project: string;
  /** Where its temporary files are, and nothing else. */
  readonly temporary: string;
}

/** An empty project that has the package. */
async function stranger(dir: TempDir): Promise<Stranger> {
  const npm = (...args: string[]) => runOk('npm', args, { cwd: dir.path, timeoutMs: 200_000 });
  const [packed] = JSON.parse(
    await runOk('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', dir.path], {
      timeoutMs: 60_000,
    }),
  );
  writeFileSync(dir.file('package.json'), '{ "type": "module", "private": true }');
  const quiet = ['--no-audit', '--no-fund', '--prefer-offline', '--omit=dev'];
  await npm('install', ...quiet, dir.file(packed.filename));
  for (const [name, text] of Object.entries({ TESTS, THROWS, UNCAUGHT, STAYS }))
    writeFileSync(dir.file(`${name.toLowerCase()}.mjs`), text);
  const temporary = dir.file('tmp');
  mkdirSync(temporary);
  return { project: dir.path, temporary };
}

async function asked(t: Test, node: string, { project, temporary }: Stranger): Promise<void> {
  const options = { cwd: project, env: { TMPDIR: temporary, NODE_OPTIONS: undefined }, timeoutMs: 100_000 };
  const nothingIsLeft = async (): Promise<void> => {
    t.strictSame(readdirSync(temporary), []);
    t.strictSame(holders(temporary), []);
  };
  const whole = await run(node, ['--test', 'tests.mjs'], options);
  t.equal(whole.status, 0, whole.stdout + whole.stderr);
  t.match(whole.stdout, /^(#|ℹ) pass 2$/m);
  await nothingIsLeft();
  const uncaught = await run(node, ['uncaught.mjs'], options);
  t.match(uncaught, { status: 1, timedOut: false, stderr: /on purpose/ });
  await nothingIsLeft();
  if (node !== process.execPath) return;
  const thrown = await run(node, ['--test', 'throws.mjs'], options);
  t.match(thrown, { status: 1, timedOut: false });
  t.match(thrown.stdout, /on purpose/);
  await nothingIsLeft();
  await using killed = start(node, ['stays.mjs'], options);
  await killed.waitForOutput(/serves/);
  t.not(holders(temporary).length, 0);
  killed.signal('SIGKILL');
  await killed.ended;
  t.strictSame(holders(temporary), [], 'a kill leaves no process with the disk');
  for (const name of readdirSync(temporary)) rmSync(join(temporary, name), { recursive: true });
}

t.test('in a project of its own, on each Node', { skip: skipUnless('qemu-io') }, async (t) => {
  using dir = new TempDir();
  const project = await stranger(dir);
  await t.test(`Node ${process.version}`, (t) => asked(t, process.execPath, project));
  for (const major of OTHER_MAJORS) {
    const release = await nodeRelease(major, ownNodeArch()).catch((error: Error) => error.message);
    const skip = typeof release === 'string' ? skipBecause(release) : false;
    await t.test(`Node ${major}`, { skip }, async (t) => {
      if (typeof release !== 'string') await asked(t, release.program, project);
    });
  }
  await t.test('a strict TypeScript program finds its types', async (t) => {
    writeFileSync(dir.file('typed.ts'), TYPED);
    writeFileSync(dir.file('wrong.ts'), `${TYPED}\nawait disk.powerCut({ keep: 'some' });\n`);
    const types = ['--types', 'node', '--typeRoots', resolve('node_modules/@types')];
    const strict = ['--strict', '--noUncheckedIndexedAccess', '--exactOptionalPropertyTypes', ...types];
    const lib = ['--module', 'nodenext', '--target', 'es2023', '--lib', 'es2023,esnext.disposable'];
    const check = (file: string) =>
      run(resolve('node_modules/.bin/tsc'), ['--noEmit', ...strict, ...lib, file], { cwd: dir.path });
    t.match(await check('typed.ts'), { status: 0, stdout: '', stderr: '' });
    t.match(await check('wrong.ts'), { stdout: /wrong\.ts.*not assignable/ });
  });
});

t.test('all of it is in the docs, and says what it does', async (t) => {
  const docs =
    /^## In a program$([\s\S]*?)^## /m.exec(readFileSync('docs/testing-disks.md', 'utf8'))?.[1] ?? '';
  const types = readFileSync('dist/driver/testing.d.ts', 'utf8');
  const members = ['start', ...Object.getOwnPropertyNames(TestDisk.prototype), 'hits', 'file', 'log'];
  for (const name of members.filter((one) => one !== 'constructor')) {
    t.match(docs, new RegExp(`\\b${name}\\b`), `${name} is in docs/testing-disks.md`);
    t.match(
      types,
      new RegExp(`\\*/\\s+(static |readonly |get )?${name}\\b`),
      `${name} has a comment in the types`,
    );
  }
});
