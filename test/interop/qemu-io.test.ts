import { readFileSync } from 'node:fs';
import t from 'tap';
import { Daemon } from '../helpers/daemon.js';
import { type Ended, run } from '../helpers/process.js';
import { makeRandomFile, TempDir } from '../helpers/temp.js';
import { skipUnless, tool } from '../helpers/tools.js';

t.setTimeout(120_000);
const skip = skipUnless('qemu-io');

/** One qemu-io session; the commands run in order on one connection. */
const qemuIo = (uri: string, options: readonly string[], ...commands: string[]): Promise<Ended> =>
  run(tool('qemu-io'), ['-f', 'raw', ...options, ...commands.flatMap((command) => ['-c', command]), uri]);

t.test('what qemu-io writes is in the file, and nowhere else', { skip }, async (t) => {
  using files = new TempDir();
  const image = makeRandomFile(files.file('disk.img'), 1 << 20);
  const before = readFileSync(image);
  await using daemon = await Daemon.start({ devices: [image] });

  const session = await qemuIo(
    daemon.uri(),
    [],
    'write -P 0x5a 4096 8192',
    'write -f -P 0x3c 100352 512',
    'writev -P 0x11 200704 512 1024 512',
    'write -z 300032 65536',
    'write -z -u 400384 65536',
    'flush',
    'read -P 0x5a 4096 8192',
    'read -P 0x3c 100352 512',
    'read -P 0 300032 65536',
    'read -P 0 400384 65536',
  );
  t.equal(session.status, 0, 'exit status', { session });
  t.notMatch(session.stdout, /verification failed/i);

  const expected = Buffer.from(before);
  expected.fill(0x5a, 4096, 4096 + 8192);
  expected.fill(0x3c, 100352, 100352 + 512);
  expected.fill(0x11, 200704, 200704 + 2048);
  expected.fill(0, 300032, 300032 + 65536);
  expected.fill(0, 400384, 400384 + 65536);
  t.ok(readFileSync(image).equals(expected), 'the file holds exactly what was written');
});

t.test('a discarded range is punched out and the rest stays', { skip }, async (t) => {
  using files = new TempDir();
  const image = makeRandomFile(files.file('disk.img'), 1 << 20);
  const before = readFileSync(image);
  await using daemon = await Daemon.start({ devices: [image] });
  const session = await qemuIo(daemon.uri(), ['-d', 'unmap'], 'discard 65536 131072', 'flush');
  t.equal(session.status, 0, 'exit status', { session });
  const expected = Buffer.from(before).fill(0, 65536, 65536 + 131072);
  t.ok(readFileSync(image).equals(expected));
});

t.test('a write to a read-only device is refused and changes nothing', { skip }, async (t) => {
  using files = new TempDir();
  const image = makeRandomFile(files.file('disk.img'), 1 << 20);
  const before = readFileSync(image);
  await using daemon = await Daemon.start();
  await daemon.client.add(0);
  await daemon.client.configure(0, { file: image, readOnly: true });
  const session = await qemuIo(daemon.uri(), [], 'write -P 1 0 512');
  t.not(session.status, 0);
  t.match(session.stdout + session.stderr, /read-only|permitted|denied/i);
  t.ok(readFileSync(image).equals(before));
});

t.test('a device with an offset and a size limit shows that part of the file', { skip }, async (t) => {
  using files = new TempDir();
  const image = makeRandomFile(files.file('disk.img'), 1 << 20);
  const before = readFileSync(image);
  await using daemon = await Daemon.start();
  await daemon.client.add(0);
  await daemon.client.configure(0, { file: image, offset: 4096, sizeLimit: 8192 });
  const session = await qemuIo(daemon.uri(), [], 'length', 'write -P 7 0 8192', 'flush');
  t.equal(session.status, 0, 'exit status', { session });
  t.match(session.stdout, '8 KiB');
  t.ok(readFileSync(image).equals(Buffer.from(before).fill(7, 4096, 4096 + 8192)));
});
