/** What a device is told for tests, over the ends of a daemon: limits are settings and come back, everything else is gone. */
import { readFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import type { DeviceStatus } from '../../driver/control/messages.js';
import { Daemon } from '../helpers/daemon.js';
import { NbdRequests } from '../helpers/nbd-requests.js';
import { makeSparseFile, TempDir } from '../helpers/temp.js';
import { until } from '../helpers/until.js';

const page = (byte: number): Buffer => Buffer.alloc(4096, byte);

async function told(daemon: Daemon, dir: TempDir): Promise<void> {
  const { client } = daemon;
  await client.configure(0, {
    file: makeSparseFile(dir.file('disk'), 1 << 20),
    limits: { iops: 400, burst: 0.5 },
    volatileCache: true,
    faults: [{ kind: 'errno', operations: ['read'] }],
  });
  await client.setLimits(0, { bytesWrite: 1 << 20 });
  await client.setLimits(0, { iops: 50 });
  await client.addFaults(0, [{ kind: 'hang', operations: ['write'], after: 1 }]);
}

async function isCleanButLimited(t: Test, daemon: Daemon): Promise<DeviceStatus> {
  const { client } = daemon;
  t.match(await client.limits(0), { iops: 50, burst: 0.5, bytesWrite: 1 << 20, bytes: null });
  t.strictSame((await client.faults(0)).rules, []);
  const session = await NbdRequests.open(daemon.socket);
  t.equal((await session.read(0, 4096)).error, 0, 'no fault has come along');
  await session.leave();
  const status = await client.device(0);
  t.equal(status.volatileCache, false);
  return status;
}

t.test('limits come back after a stop and after a crash; faults and a volatile cache do not', async (t) => {
  using dir = new TempDir();
  {
    await using daemon = await Daemon.start({ directory: dir });
    await daemon.client.add(0);
    await told(daemon, dir);
    const session = await NbdRequests.open(daemon.socket);
    t.equal(await session.write(0, page(1)), 0);
    const hanging = session.write(4096, page(2)).catch(() => 'gone');
    await until(
      'a write hangs',
      async () => (await daemon.client.faults(0)).rules[1]?.held === 1 || undefined,
    );
    const ended = await daemon.stop();
    t.equal(ended.status, 0, ended.stderr);
    await hanging;
    session.destroy();
    t.equal(readFileSync(dir.file('disk'))[0], 1, 'what the cache held is in the file');
  }
  {
    await using daemon = await Daemon.start({ directory: dir });
    await isCleanButLimited(t, daemon);
    await daemon.client.setFaults(0, [{ kind: 'hang' }]);
    const session = await NbdRequests.open(daemon.socket);
    void session.read(0, 4096).catch(() => undefined);
    await until(
      'a read hangs',
      async () => (await daemon.client.faults(0)).rules[0]?.held === 1 || undefined,
    );
    await daemon.kill();
    session.destroy();
  }
  {
    await using daemon = await Daemon.start({ directory: dir });
    await isCleanButLimited(t, daemon);
    await daemon.client.clear(0);
    await daemon.client.configure(0, { file: dir.file('disk') });
    t.match(await daemon.client.limits(0), { iops: null, bytesWrite: null }, 'another binding has none');
    t.equal((await daemon.stop()).status, 0);
  }
  await using daemon = await Daemon.start({ directory: dir });
  t.match(await daemon.client.limits(0), { iops: null, bytesWrite: null });
});
