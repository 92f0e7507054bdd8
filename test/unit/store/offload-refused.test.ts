/** What containers commonly refuse, refused for real: this process can't have it back, so the file stands alone. */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import t from 'tap';
import { Uring, UringOp } from '../../../driver/io/uring.js';
import { openDataPath } from '../../../driver/queue/queue-rq.js';
import { Offload } from '../../../driver/store/offload.js';
import { Cmd, CmdFlag } from '../../../server/wire/constants.js';
import { memory, OpenFile } from '../../helpers/file-systems.js';
import { ReactorBench } from '../../helpers/reactor-bench.js';
import { complete, skipWithoutUring } from '../../helpers/rings.js';
import { EAGAIN, EPERM, IO_URING_ENTER, IO_URING_SETUP, refuseCalls } from '../../helpers/seccomp.js';
import { makeRandomFile, TempDir } from '../../helpers/temp.js';

const { READ, WRITE, FLUSH } = Cmd;
const MIB = 1 << 20;
/** Entries of the ring of a thread; small ones are still to be had. */
const REFUSED_ENTRIES = 256;
/** Operations that the kernel has no memory for at once. */
const TOO_MANY = 3;

const skip = skipWithoutUring();
if (skip === false) t.equal(Offload.open()?.limit, REFUSED_ENTRIES, 'a thread could have its ring');
refuseCalls(
  { call: IO_URING_SETUP, argument: 0, is: REFUSED_ENTRIES, errno: EPERM },
  { call: IO_URING_ENTER, argument: 1, is: TOO_MANY, errno: EAGAIN },
);

t.test('what the kernel did not take stays queued, and is handed over the next time', { skip }, async (t) => {
  using dir = new TempDir();
  const path = makeRandomFile(dir.file('image'), 4096);
  const content = readFileSync(path);
  using file = OpenFile.open(path);
  const ring = Uring.open(8);
  if (ring === undefined) throw new Error('no ring');
  const { bytes, address } = memory(4 * 512);
  for (let token = 0; token < TOO_MANY; token++) {
    ring.prepare(UringOp.READ, file.fd, token * 512, address + token * 512, 512, 0, token);
  }
  t.notOk(ring.submit());
  t.notOk(ring.submit(), 'as often as it is tried');
  ring.prepare(UringOp.READ, file.fd, 3 * 512, address + 3 * 512, 512, 0, 3);
  t.ok(ring.submit(), 'with one more there is memory again');
  t.strictSame(
    [...complete(ring, 4)].sort(([a], [b]) => a - b),
    [0, 1, 2, 3].map((token) => [token, 512]),
  );
  t.ok(bytes.equals(content.subarray(0, 2048)));
});

t.test('without io_uring there is nothing to start, and no completion to wait for', async (t) => {
  t.equal(Offload.open(), undefined);
  t.equal(openDataPath(0).completions, undefined);
});

t.test('without io_uring a reactor does everything in place', async (t) => {
  for (const mode of ['simple', 'extended'] as const) {
    await using bench = await ReactorBench.start();
    const device = await bench.device(4 * MIB);
    const content = readFileSync(device.path);
    const client = await bench.connect(device, { mode });
    const [small, large] = [randomBytes(4096), randomBytes(300_000)];
    client.send(
      { type: WRITE, cookie: 1n, flags: CmdFlag.FUA, offset: 512, payload: small },
      { type: WRITE, cookie: 2n, flags: CmdFlag.FUA, offset: MIB, payload: large },
      { type: FLUSH, cookie: 3n },
      { type: READ, cookie: 4n, offset: 0, length: 8192 },
      { type: READ, cookie: 5n, offset: MIB, length: 2 * MIB },
    );
    small.copy(content, 512);
    large.copy(content, MIB);
    const replies = await client.replies(5);
    t.strictSame(
      replies.map(({ cookie, error }) => [cookie, error]),
      [1n, 2n, 3n, 4n, 5n].map((cookie) => [cookie, 0]),
      'in order, for nothing is done later',
    );
    t.ok(replies[3]?.data?.equals(content.subarray(0, 8192)));
    t.ok(replies[4]?.data?.equals(content.subarray(MIB, 3 * MIB)));
    t.ok(readFileSync(device.path).equals(content));
    client.send({ type: Cmd.DISC });
    t.equal(await client.reason, 'the client disconnected');
    t.equal(device.queue.inFlight, 0);
  }
});
