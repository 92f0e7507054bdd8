import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { listenControl } from '../../../driver/control/server.js';
import { LoopError } from '../../../driver/errno.js';
import { run } from '../../helpers/process.js';
import { makeSparseFile, TempDir } from '../../helpers/temp.js';
import { fakeContext } from '../control/fake-loops.js';

const PROGRAM = fileURLToPath(new URL('../../../bin/nbdlosetup.js', import.meta.url));

/** nbdlosetup against a daemon with a kernel that attaches. */
async function setUp(t: Test) {
  const dir = new TempDir();
  const file = makeSparseFile(dir.file('a.img'), 1 << 20);
  const context = fakeContext();
  const server = await listenControl(context, dir.file('c.sock'));
  t.teardown(async () => {
    await server.close();
    dir[Symbol.dispose]();
  });
  const losetup = (...args: string[]) =>
    run(process.execPath, [PROGRAM, ...args], { env: { NBDLOOP_CONTROL: dir.file('c.sock') } });
  return { context, file, losetup };
}

t.test('a bound device is attached, and listed, shown and named by its node', async (t) => {
  const { file, losetup } = await setUp(t);
  t.match(await losetup('-f', '--show', file), { status: 0, stdout: '/dev/nbd0\n', stderr: '' });
  t.match(await losetup('-n', '-O', 'NAME'), { stdout: '/dev/nbd0\n' });
  t.match(await losetup('/dev/nbd0'), { status: 0, stdout: `/dev/nbd0: [65024]:7 (${file})\n` });
  t.match(await losetup('-d', '/dev/nbd0'), { status: 0 });
  t.match(await losetup('-a'), { status: 0, stdout: '' });
});

t.test('a node of another NBD client is passed by, unless it was named', async (t) => {
  const { context, file, losetup } = await setUp(t);
  context.attachments.taken.add(0).add(1);
  t.match(await losetup('-f', '--show', file), { status: 0, stdout: '/dev/nbd2\n' });
  t.strictSame(
    context.loops.all.map((device) => device.status.state),
    ['bound'],
    'nothing else stays bound',
  );
  const named = await losetup('loop1', file);
  t.match(named, { status: 1, stdout: '', stderr: /in use \(EBUSY\)\n$/ });
  t.equal(context.loops.device(1).status.state, 'unbound');
});

t.test('where there is no kernel to attach to, the URI is shown, and -v says why', async (t) => {
  const { context, file, losetup } = await setUp(t);
  context.attachments.obstacle = new LoopError('ENODEV', 'this kernel has no nbd module');
  const uri = 'nbd+unix:///loop0?socket=/run/n.sock\n';
  t.match(await losetup('-f', '--show', file), { status: 0, stdout: uri, stderr: '' });
  t.match(await losetup('-v', '-f', '--show', file), {
    status: 0,
    stderr: 'nbdlosetup: not attached: this kernel has no nbd module (ENODEV)\n',
  });
  context.attachments.obstacle = new LoopError('EIO', 'the kernel refused it');
  t.match(await losetup('-f', '--show', file), { status: 1, stdout: '', stderr: /refused it \(EIO\)/ });
  t.equal(context.loops.device(2).status.state, 'unbound', 'the binding is taken back');
});

t.test('what of a file is not served is said', async (t) => {
  const { file, losetup } = await setUp(t);
  const warning = async (...args: string[]) => {
    const { status, stderr } = await losetup('--no-attach', '-f', ...args, file);
    t.equal(status, 0);
    return stderr.replace(/^nbdlosetup: .*: Warning: /, '');
  };
  t.equal(await warning(), '');
  t.equal(await warning('-o', '512'), '');
  t.equal(await warning('-o', '100'), 'its last 412 bytes are less than a sector and are not served.\n');
  t.equal(
    await warning('--sizelimit', '700'),
    'its last 188 bytes are less than a sector and are not served.\n',
  );
  t.match(await warning('-o', '2M'), /holds no whole sector/, 'it begins beyond the end');
  t.equal(await warning('--sizelimit', '2G'), '', 'a limit beyond the end limits nothing');
});

t.test('an empty name is no file', async (t) => {
  const { context, losetup } = await setUp(t);
  t.match(await losetup('-f', ''), {
    status: 1,
    stderr: 'nbdlosetup: : failed to use backing file: No such file or directory (ENOENT)\n',
  });
  t.strictSame(context.loops.all, []);
});
