/** Faults and limits on devices that are served by real reactors: what a client sees, and what a neighbour does not. */
import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import type { LoopDevice } from '../../driver/loop/loop-device.js';
import type { FaultEvent } from '../../driver/loop/types.js';
import { NbdRequests } from '../helpers/nbd-requests.js';
import { ServedLoops } from '../helpers/served-loops.js';
import { until as untilTold } from '../helpers/until.js';

const until = (isSo: () => boolean): Promise<true> =>
  untilTold('it is so', async () => isSo() || undefined, 20_000);

const { EIO, ENOSPC } = constants.errno;
const KIB = 1024;
const page = (byte: number, pages = 1): Buffer => Buffer.alloc(4096 * pages, byte);
const ms = (value: number) => ({ distribution: 'fixed', ms: value }) as const;

/** What the device's file holds. */
const fileOf = (device: LoopDevice): Buffer => readFileSync(device.snapshot().file ?? '');

t.test('errnos by the n-th request, range and operation; a long request is one', async (t) => {
  await using served = await ServedLoops.start();
  const device = await served.bench.bound({ bytes: 16 << 20 });
  const client = await NbdRequests.open(served.socketPath);
  await device.loopSetFaults([
    { kind: 'errno', errno: 'ENOSPC', operations: ['write'], ranges: [{ offset: 8192, length: 1 }] },
    { kind: 'errno', operations: ['read'], every: 2 },
  ]);
  t.equal(await client.write(0, page(1)), 0);
  t.equal(await client.write(8192, page(1)), ENOSPC);
  t.equal((await client.read(0, 4096)).error, 0);
  t.equal((await client.read(0, 4096)).error, EIO);
  const long = await client.read(0, 12 << 20);
  t.equal(long.error, 0);
  t.strictSame(long.data.subarray(0, 4096), page(1));
  t.equal((await client.read(0, 12 << 20)).error, EIO, 'a read in pieces is hit as one');
  t.equal(await client.write(4 << 20, page(2, 2048)), 0, 'a write that comes in pieces');
  t.strictSame(fileOf(device).subarray(4 << 20, 12 << 20), page(2, 2048));
  t.match(device.loopFaults(), [
    { seen: 1, hits: 1 },
    { seen: 4, hits: 2 },
  ]);
  await device.loopSetFaults([]);
  t.equal(await client.write(8192, page(1)), 0);
  await client.leave();
});

t.test('torn, lost, misdirected and flipped: answered as if nothing had happened', async (t) => {
  await using served = await ServedLoops.start();
  const device = await served.bench.bound();
  const client = await NbdRequests.open(served.socketPath);
  await device.loopSetFaults([{ kind: 'torn', sectors: 3 }]);
  t.equal(await client.write(0, page(0xaa)), 0);
  t.strictSame(
    fileOf(device).subarray(0, 4096),
    Buffer.concat([Buffer.alloc(1536, 0xaa), Buffer.alloc(2560)]),
  );
  await device.loopSetFaults([{ kind: 'lost', operations: ['write', 'flush', 'trim'] }]);
  t.equal(await client.write(8192, page(0xbb)), 0);
  t.equal(await client.trim(0, 4096), 0);
  t.equal(await client.flush(), 0);
  t.equal(fileOf(device)[8192], 0);
  t.equal(fileOf(device)[0], 0xaa);
  await device.loopSetFaults([{ kind: 'misdirected', to: 65536 }]);
  t.equal(await client.write(16384, page(0xcc)), 0);
  t.equal(fileOf(device)[16384], 0);
  t.strictSame(fileOf(device).subarray(65536, 65536 + 4096), page(0xcc));
  await device.loopSetFaults([{ kind: 'flipped', bits: 1, ranges: [{ offset: 65540, length: 1 }] }]);
  const { data } = await client.read(65536, 4096);
  const wrong = [...data.entries()].filter(([, byte]) => byte !== 0xcc);
  t.equal(wrong.length, 1);
  t.equal(wrong[0]?.[0], 4);
  await device.loopSetFaults([]);
  t.strictSame((await client.read(65536, 4096)).data, page(0xcc), 'the file has it as it was');
  await client.leave();
});

t.test('the same seed and requests leave the same bytes, over one connection or four', async (t) => {
  const run = async (connections: number): Promise<Buffer> => {
    await using served = await ServedLoops.start({ reactors: 2 });
    const device = await served.bench.bound();
    await device.loopSetFaults([
      { kind: 'torn', probability: 0.3, seed: 11 },
      { kind: 'misdirected', probability: 0.3, seed: 12 },
      { kind: 'lost', probability: 0.2, seed: 13 },
    ]);
    const clients = await Promise.all(
      Array.from({ length: connections }, () => NbdRequests.open(served.socketPath)),
    );
    for (let n = 0; n < 120; n++) {
      await clients[n % connections]?.write((n % 40) * 8192, page(n + 1, 2));
    }
    const content = fileOf(device);
    await Promise.all(clients.map((client) => client.leave()));
    return content;
  };
  const [one, four, again] = [await run(1), await run(4), await run(1)];
  t.ok(one.equals(four));
  t.ok(one.equals(again));
});

t.test('a delay is for the request, not for its connection, its thread or its neighbours', async (t) => {
  await using served = await ServedLoops.start();
  const device = await served.bench.bound();
  const other = await served.bench.bound();
  const client = await NbdRequests.open(served.socketPath, device.name);
  const neighbour = await NbdRequests.open(served.socketPath, other.name);
  await device.loopSetFaults([{ kind: 'delay', delay: ms(1500), operations: ['write'] }]);
  const began = performance.now();
  const writes = Array.from({ length: 20 }, (_, n) => client.write(n * 4096, page(n)));
  t.equal((await client.read(0, 4096)).error, 0);
  t.equal((await neighbour.read(0, 4096)).error, 0);
  t.ok(performance.now() - began < 1400, 'reads of the same thread go on meanwhile');
  t.strictSame(new Set(await Promise.all(writes)), new Set([0]));
  const took = performance.now() - began;
  t.ok(took >= 1500 && took < 20_000, `20 writes at once took ${Math.round(took)} ms`);
  await device.loopSetFaults([{ kind: 'delay', delay: ms(3_000_000) }]);
  const late = client.write(0, page(1));
  await until(() => device.loopFaults()[0]?.hits === 1);
  await device.loopSetFaults([]);
  t.equal(await late, 0, 'a delay ends with its rule');
  await client.leave();
  await neighbour.leave();
});

t.test(
  'a hang is held until it is released, cleared or cut off; a freeze does not wait for it',
  async (t) => {
    await using served = await ServedLoops.start();
    const device = await served.bench.bound();
    const client = await NbdRequests.open(served.socketPath);
    const held = (): Promise<true> => until(() => device.loopFaults().some((rule) => rule.held > 0));
    const hang = { kind: 'hang', id: 'h', operations: ['write'] } as const;

    await device.loopSetFaults([hang]);
    let write = client.write(0, page(1));
    await held();
    t.equal(device.queue.inFlight, 0);
    await device.loopSetStatus({ partscan: true });
    await device.loopAddFaults([{ kind: 'errno', operations: ['trim'] }]);
    t.match(device.loopFaults(), [{ id: 'h', held: 1 }, { kind: 'errno' }], 'another rule lets nothing go');
    t.equal(fileOf(device)[0], 0);
    await device.loopReleaseFaults('h');
    t.equal(await write, 0, 'released');
    t.equal(fileOf(device)[0], 1);

    write = client.write(0, page(2));
    await held();
    await device.loopRemoveFaults(['h']);
    t.equal(await write, 0, 'its rule is gone');

    await device.loopSetFaults([hang]);
    write = client.write(0, page(3));
    await held();
    await device.loopClrFd({ force: true });
    t.equal(await write, EIO, 'its device is gone');
    await device.loopConfigure({ file: served.bench.dir.file('loop0.img') });
    t.strictSame(device.loopFaults(), [], 'what is bound anew is clean');
    t.equal(await client.write(0, page(4)), 0);

    await device.loopSetFaults([hang]);
    const many = Array.from({ length: 200 }, () => client.write(0, page(5)).catch(() => 'gone'));
    await until(() => device.loopFaults()[0]?.held === 128);
    client.destroy();
    await Promise.all(many);
    await until(() => device.loopFaults()[0]?.held === 0 && device.openers === 0);
    t.equal(fileOf(device)[0], 4, 'what nobody waits for is not carried out');
  },
);

t.test('each hit is an event', async (t) => {
  await using served = await ServedLoops.start();
  const device = await served.bench.bound();
  const seen: FaultEvent[] = [];
  served.bench.control.events.on('fault', (event) => seen.push(event));
  const client = await NbdRequests.open(served.socketPath);
  await device.loopSetFaults([{ kind: 'lost', id: 'some', every: 2 }]);
  for (let n = 0; n < 6; n++) await client.write(n * 4096, page(n));
  await until(() => seen.length === 3);
  t.match(seen, [
    {
      device: 0,
      kind: 'fault',
      rule: 'some',
      fault: 'lost',
      operation: 'write',
      offset: 4096,
      length: 4096,
      index: 1,
    },
    { offset: 3 * 4096, index: 3, missed: 0 },
    { offset: 5 * 4096, index: 5 },
  ]);
  await client.leave();
});

t.test(
  'a limit is kept, changed and taken away while requests wait for it; neighbours do not feel it',
  async (t) => {
    await using served = await ServedLoops.start();
    const device = await served.bench.bound({ bytes: 4 << 20 });
    const other = await served.bench.bound();
    const client = await NbdRequests.open(served.socketPath, device.name);
    const neighbour = await NbdRequests.open(served.socketPath, other.name);
    await device.loopSetLimits({ iops: 50 });
    const began = performance.now();
    const answers = Array.from({ length: 60 }, (_, n) => client.read(n * 4096, 4096));
    t.equal((await neighbour.read(0, 4096)).error, 0);
    t.ok(performance.now() - began < 900);
    await Promise.all(answers);
    const took = performance.now() - began;
    t.ok(took > 950, `60 requests at 50 a second took ${Math.round(took)} ms`);

    await device.loopSetLimits({ iops: null, bytesWrite: 64 * KIB, burst: 0 });
    const begun = performance.now();
    const writes = Array.from({ length: 100 }, (_, n) => client.write(n * 4096, page(n, 4)));
    await writes[1];
    t.ok(performance.now() - begun > 240, 'the second of two writes of 16 KiB at 64 KiB a second');
    t.equal((await client.read(0, 4096)).error, 0, 'reads are not limited');
    await device.loopSetLimits({ bytesWrite: null });
    t.strictSame(new Set(await Promise.all(writes)), new Set([0]));
    t.ok(performance.now() - begun < 20_000, 'none waits on for the old limit');
    await client.leave();
    await neighbour.leave();
  },
);

t.test('what waits costs no processor time', async (t) => {
  await using served = await ServedLoops.start();
  const device = await served.bench.bound();
  const client = await NbdRequests.open(served.socketPath);
  await device.loopSetFaults([
    { kind: 'hang', operations: ['write'] },
    { kind: 'delay', delay: ms(2500), operations: ['read'] },
  ]);
  const write = client.write(0, page(1));
  const read = client.read(0, 4096);
  await until(() => device.loopFaults().every((rule) => rule.hits === 1));
  await sleep(200);
  const before = process.cpuUsage();
  await sleep(1000);
  const { user, system } = process.cpuUsage(before);
  t.ok(user + system < 300_000, `${(user + system) / 1000} ms of a second`);
  await read;
  await device.loopReleaseFaults();
  await write;
  await client.leave();
});
