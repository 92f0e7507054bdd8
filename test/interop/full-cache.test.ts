/** A volatile cache where there is no room, or no disk any more: what was flushed stays, and what was not is told of. */
import { rmSync, statfsSync, truncateSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import t from 'tap';
import { Daemon } from '../helpers/daemon.js';
import { FullDisk, skipWithoutFailingDisks } from '../helpers/failing-disks.js';
import { KernelLoop } from '../helpers/kernel-loop.js';
import { NbdRequests } from '../helpers/nbd-requests.js';
import { until } from '../helpers/until.js';

const { ENOSPC, EIO } = constants.errno;
const MIB = 1 << 20;
const block = (byte: number): Buffer => Buffer.alloc(64 << 10, byte);
const skip = skipWithoutFailingDisks();

/** Takes what room there is; the result is the file that has it. */
function ballast(disk: FullDisk): string {
  const path = join(dirname(disk.file), 'ballast');
  const { bavail, bsize } = statfsSync(dirname(disk.file));
  writeFileSync(path, Buffer.alloc(bavail * bsize));
  return path;
}

t.test(
  'no room for the cache, or for what it holds: refused, and nothing that was answered is lost',
  { skip },
  async (t) => {
    await using disk = await FullDisk.make(4 * MIB, 16 * MIB);
    await using daemon = await Daemon.start({ args: ['--log-level', 'error'] });
    await daemon.client.find({ file: disk.file, volatileCache: true });
    const client = await NbdRequests.open(daemon.socket);
    t.equal(await client.write(0, block(1)), 0);
    t.equal(await client.flush(), 0);
    t.equal(await client.write(MIB, block(2)), 0);

    let full = ballast(disk);
    t.equal(await client.flush(), ENOSPC, 'the file has no room for what the cache holds');
    t.equal(await client.write(2 * MIB, block(3)), ENOSPC, 'nor has the cache for more');
    t.equal((await client.read(MIB, 65536)).data[0], 2, 'it is all there still');
    rmSync(full);
    t.equal(await client.flush(), 0, 'and durable as soon as there is room');

    t.equal(await client.write(3 * MIB, block(4)), 0);
    full = ballast(disk);
    const left = await daemon.client.powerCut(0, { keep: 'none' });
    t.match(left, { writes: 1, kept: 0 }, 'the power goes without room');
    await client.closed;
    const again = await NbdRequests.open(daemon.socket);
    for (const [at, byte] of [
      [0, 1],
      [MIB, 2],
      [3 * MIB, 0],
    ] as const) {
      t.equal((await again.read(at, 65536)).data[0], byte);
    }
    rmSync(full);
    t.equal(await again.write(5 * MIB, block(6)), 0);
    full = ballast(disk);
    again.destroy();
    await daemon.client.clear(0, { force: true });
    rmSync(full);
    await daemon.client.configure(0, { file: disk.file });
    const after = await NbdRequests.open(daemon.socket);
    t.equal(
      (await after.read(5 * MIB, 65536)).data[0],
      6,
      'a clear has the room of the cache for what it held',
    );
    await after.leave();
    t.equal((await daemon.stop()).status, 0);
    t.equal(daemon.process.stderr, '');
  },
);

t.test(
  'a file that refuses what the cache holds: cleared, as by the kernel, and the log says what is lost',
  { skip },
  async (t) => {
    await using disk = await FullDisk.make(MIB, 8 * MIB);
    await using loop = await KernelLoop.attach(disk.file);
    await using daemon = await Daemon.start({ args: ['--log-level', 'error'] });
    await daemon.client.find({ file: loop.path, volatileCache: true });
    const client = await NbdRequests.open(daemon.socket);
    t.equal(await client.write(0, block(1)), 0);
    t.equal(await client.flush(), 0);
    for (let n = 1; n < 32; n++) t.equal(await client.write(n * 65536, block(n)), 0);
    t.equal(await client.flush(), EIO);
    client.destroy();
    await t.rejects(daemon.client.volatileCache(0, false), { errno: 'EIO', message: /could not be written/ });
    t.match(
      await daemon.client.device(0),
      { volatileCache: true, state: 'bound' },
      'it is not given up by mistake',
    );
    const { outcome } = (await daemon.client.clear(0, { force: true })) as { outcome: string };
    t.equal(outcome, 'cleared');
    const said = await until(
      'the log has it',
      async () => /what the volatile cache held could not be written.*/.exec(daemon.process.stderr)?.[0],
    );
    t.match(said, /EIO/);
    t.match(said, /what nobody flushed is lost/);
    truncateSync(disk.file, 0);
  },
);
