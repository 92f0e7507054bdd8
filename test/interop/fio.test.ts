import t from 'tap';
import { Daemon, freePort } from '../helpers/daemon.js';
import { nbdJob, parseFio, runFio } from '../helpers/fio.js';
import { makeSparseFile, TempDir } from '../helpers/temp.js';
import { skipUnless } from '../helpers/tools.js';

t.setTimeout(300_000);
const skip = skipUnless('fio');

/** Four connections write their own quarter at random, 32 requests deep each, and read it back. */
const VERIFY = {
  rw: 'randwrite',
  bs: '4k',
  iodepth: 32,
  numjobs: 4,
  size: '64m',
  offset_increment: '64m',
  verify: 'crc32c',
  verify_fatal: 1,
  verify_state_save: 0,
  group_reporting: true,
} as const;

t.test('four connections at queue depth 32 verify over a Unix socket', { skip }, async (t) => {
  using files = new TempDir();
  const image = makeSparseFile(files.file('disk.img'), 256 << 20);
  await using daemon = await Daemon.start({ devices: [image] });
  const ended = await runFio(nbdJob(daemon.uri(), VERIFY));
  t.equal(ended.status, 0, 'exit status', { ended });
  const result = parseFio(ended.stdout);
  t.strictSame(result, { errors: [0], readBytes: 256 << 20, writtenBytes: 256 << 20 });
});

t.test('mixed block sizes and a mix of reads and writes verify over TCP', { skip }, async (t) => {
  using files = new TempDir();
  const image = makeSparseFile(files.file('disk.img'), 256 << 20);
  const port = await freePort();
  await using _daemon = await Daemon.start({ devices: [image], port });
  const ended = await runFio(
    nbdJob(`nbd://127.0.0.1:${port}/loop0`, {
      ...VERIFY,
      rw: 'randrw',
      bsrange: '512-256k',
      size: '48m',
      fsync: 64,
    }),
  );
  t.equal(ended.status, 0, 'exit status', { ended });
  t.strictSame(parseFio(ended.stdout).errors, [0]);
});

t.test('a verify survives direct I/O being switched on and off under it', { skip }, async (t) => {
  using files = new TempDir();
  const image = makeSparseFile(files.file('disk.img'), 256 << 20);
  await using daemon = await Daemon.start({ devices: [image] });
  let done = false;
  let toggles = 0;
  const toggling = (async () => {
    for (; !done; toggles += 1) await daemon.client.directIo(0, toggles % 2 === 0);
  })();
  const ended = await runFio(nbdJob(daemon.uri(), VERIFY));
  done = true;
  await toggling;
  t.equal(ended.status, 0, 'exit status', { ended });
  t.strictSame(parseFio(ended.stdout).errors, [0]);
  t.ok(toggles > 1, `${toggles} toggles`);
});
