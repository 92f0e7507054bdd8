/** The library's test bench, as the README shows it and a little more. */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import t from 'tap';
import { TestDisk } from '../../driver/testing.js';
import { NbdRequests } from '../helpers/nbd-requests.js';
import { run } from '../helpers/process.js';
import { TempDir } from '../helpers/temp.js';

t.test('a disk with faults, power cuts and a log, by method calls; nothing is left of it', async (t) => {
  using dir = new TempDir();
  const disk = await TestDisk.start({ size: 1 << 20, log: true });
  const client = await NbdRequests.open(disk.socket);
  await client.write(0, Buffer.alloc(4096, 1));
  await client.flush();
  await disk.mark('flushed');
  await client.write(0, Buffer.alloc(4096, 2));
  await disk.setFaults({ kind: 'errno', errno: 'EIO', operations: ['read'], count: 1 });
  t.equal((await client.read(0, 4096)).error, 5);
  t.equal((await client.read(0, 4096)).data[0], 2);
  t.match(await disk.powerCut(), { writes: 1, kept: 0 });
  await client.closed;
  t.strictSame(disk.faults, [], 'faults do not outlive the power');
  t.match(disk.hits, [{ fault: 'errno', operation: 'read' }]);
  t.equal(readFileSync(disk.file)[0], 1);
  t.strictSame(disk.entries(), [
    '1 write 0+4096',
    '2 flush',
    '3 mark flushed',
    '4 write 0+4096',
    '5 mark power cut',
  ]);
  const image = dir.file('image');
  t.match(await disk.replay({ onto: image, toMark: 'flushed' }), { entries: 3, failed: null });
  t.equal(readFileSync(image)[0], 1);
  await disk.limit({ iops: 1000 });
  t.equal(disk.limits.iops, 1000);
  const directory = dirname(disk.file);
  await disk.close();
  t.notOk(existsSync(directory));
});

t.test("the README's example runs", async (t) => {
  const [, example = ''] =
    /```js\n(import \{ TestDisk \}[\s\S]*?)```/.exec(readFileSync('README.md', 'utf8')) ?? [];
  t.not(example, '');
  // Within the package, which so finds itself by its name.
  const file = `dist/readme-example-${process.pid}.mjs`;
  writeFileSync(file, example);
  t.teardown(() => rmSync(file));
  for (const words of [[file], ['--input-type=module', '-e', example]]) {
    const ended = await run(process.execPath, words);
    t.equal(ended.status, 0, ended.stdout + ended.stderr);
    t.not(ended.stdout, '');
  }
});
