import { once } from 'node:events';
import { existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { claimSocket } from '../../../driver/control/claim.js';
import { start } from '../../helpers/process.js';
import { TempDir } from '../../helpers/temp.js';

const CLAIM = fileURLToPath(new URL('../../../driver/control/claim.js', import.meta.url));

/** A process that claims a path, listens there as a daemon does, and stays. */
const holder = (path: string) =>
  start(process.execPath, [
    '--input-type=module',
    '--eval',
    `import { claimSocket } from ${JSON.stringify(CLAIM)};
     import { createServer } from 'node:net';
     await claimSocket(${JSON.stringify(path)});
     createServer().listen(${JSON.stringify(path)}, () => console.log('listening'));`,
  ]);

t.test('a path is claimed once, and again after it was given up', async (t) => {
  using dir = new TempDir();
  const path = dir.file('n.sock');
  const claim = await claimSocket(path);
  await t.rejects(claimSocket(path), { errno: 'EADDRINUSE', message: new RegExp(`process ${process.pid}`) });
  claim.release();
  claim.release();
  t.notOk(existsSync(`${path}.lock`));
  (await claimSocket(path)).release();
});

t.test(
  'a second process is refused by name while the first lives; a killed one leaves nothing in the way',
  async (t) => {
    using dir = new TempDir();
    const path = dir.file('n.sock');
    await using first = holder(path);
    await first.waitForOutput(/listening/);
    await t.rejects(claimSocket(path), {
      errno: 'EADDRINUSE',
      message: new RegExp(`process ${first.pid}\\)`),
    });
    first.signal('SIGKILL');
    await first.ended;
    t.ok(statSync(path).isSocket(), 'the stale socket is there');
    const claim = await claimSocket(path);
    t.notOk(existsSync(path));
    claim.release();
  },
);

t.test('a socket of another program, and a file, stay where they are', async (t) => {
  using dir = new TempDir();
  const path = dir.file('n.sock');
  const other = createServer().listen(path);
  await once(other, 'listening');
  t.teardown(() => other.close());
  await t.rejects(claimSocket(path), { errno: 'EADDRINUSE', message: /another program/ });
  t.ok(existsSync(path));
  t.notOk(existsSync(`${path}.lock`));

  writeFileSync(dir.file('file'), 'precious');
  await t.rejects(claimSocket(dir.file('file')), { name: 'LoopError', errno: 'EEXIST' });
  t.ok(existsSync(dir.file('file')));
  mkdirSync(dir.file('directory'));
  await t.rejects(claimSocket(dir.file('directory')), { name: 'LoopError', errno: 'EEXIST' });
});

t.test('a path too long for a socket, or in no directory, is refused', async (t) => {
  using dir = new TempDir();
  await t.rejects(claimSocket(dir.file('x'.repeat(108))), { name: 'LoopError', errno: 'ENAMETOOLONG' });
  await t.rejects(claimSocket(dir.file('no', 'n.sock')), { code: 'ENOENT' });
});
