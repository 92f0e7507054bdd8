/** Volatile caches, power cuts and logs of writes, on devices that are served by real reactors. */
import { readFileSync, writeFileSync } from 'node:fs';
import t from 'tap';
import type { LoopDevice } from '../../driver/loop/loop-device.js';
import { replay } from '../../driver/replay/replay.js';
import { NbdRequests } from '../helpers/nbd-requests.js';
import { run } from '../helpers/process.js';
import { ServedLoops } from '../helpers/served-loops.js';
import { makeSparseFile } from '../helpers/temp.js';

const page = (byte: number, pages = 1): Buffer => Buffer.alloc(4096 * pages, byte);
const fileOf = (device: LoopDevice): Buffer => readFileSync(device.snapshot().file ?? '');
const at = (content: Buffer, index: number): Buffer => content.subarray(index * 4096, (index + 1) * 4096);

/** Ends the sessions of a device as the daemon does. */
const sever = (served: ServedLoops, device: LoopDevice) => () =>
  served.server.endSessions(device.number, 'the power was cut');

t.test(
  'what was flushed, or written with FUA, survives a cut; the rest is lost, and so are the sessions',
  async (t) => {
    await using served = await ServedLoops.start({ reactors: 2 });
    const device = await served.bench.bound();
    await device.loopSetVolatile(true);
    const [one, other] = [
      await NbdRequests.open(served.socketPath),
      await NbdRequests.open(served.socketPath),
    ];
    await one.write(0, page(1, 3));
    t.ok(fileOf(device).equals(Buffer.alloc(1 << 20)), 'nothing is in the file yet');
    t.strictSame((await other.read(0, 3 * 4096)).data, page(1, 3), 'every session reads it');
    await other.flush();
    t.strictSame(at(fileOf(device), 2), page(1));
    await one.write(0, page(2));
    await one.write(2 * 4096, page(3), { fua: true });
    await one.write(4 * 4096 + 100, Buffer.alloc(50, 7));
    await one.zero(4096, 4096);
    t.strictSame((await other.read(0, 4 * 4096)).data, Buffer.concat([page(2), page(0), page(3), page(0)]));
    t.strictSame(
      (await other.read(4 * 4096 + 99, 52)).data,
      Buffer.concat([Buffer.alloc(1), Buffer.alloc(50, 7), Buffer.alloc(1)]),
    );
    const left = await device.loopPowerCut({ keep: 'none' }, sever(served, device));
    t.match(left, { writes: 3, kept: 0, torn: 0 });
    await Promise.all([one.closed, other.closed]);
    t.strictSame(fileOf(device).subarray(0, 5 * 4096), Buffer.concat([page(1, 2), page(3), page(0, 2)]));
    const again = await NbdRequests.open(served.socketPath);
    t.strictSame((await again.read(0, 4096)).data, page(1), 'the device is there anew');
    await again.write(0, page(9));
    await again.leave();
    t.strictSame(at(fileOf(device), 0), page(9), 'a client that leaves properly has flushed');
    const last = await NbdRequests.open(served.socketPath);
    await last.write(0, page(10));
    await device.loopClrFd({ force: true });
    t.strictSame(
      readFileSync(served.bench.dir.file('loop0.img'))[0],
      10,
      'a device that is let go of has written what it held',
    );
    last.destroy();
  },
);

t.test('a cut of a cache that holds nothing, and a device that is let go of with one', async (t) => {
  await using served = await ServedLoops.start();
  const device = await served.bench.bound();
  await device.loopSetVolatile(true);
  t.match(await device.loopPowerCut({ keep: 'all' }, sever(served, device)), { writes: 0, kept: 0 });
  const client = await NbdRequests.open(served.socketPath);
  await client.write(0, page(1));
  await client.flush();
  await client.leave();
  await device.loopSetVolatile(false);
  t.equal(device.volatileCache, false);
  t.strictSame(at(fileOf(device), 0), page(1));
  await device.loopSetVolatile(true);
  t.match(await device.loopPowerCut({ keep: 'random' }, sever(served, device)), { writes: 0 });
});

t.test('what a seed keeps is the same each time: whole writes, or sectors of them', async (t) => {
  const cutBy = async (seed: number, tear: boolean): Promise<Buffer> => {
    await using served = await ServedLoops.start();
    const device = await served.bench.bound();
    await device.loopSetVolatile(true);
    const client = await NbdRequests.open(served.socketPath);
    for (let n = 0; n < 100; n++) await client.write(n * 8192, page(n + 1, 2));
    // Of two writes to one place, the later lies over the earlier where both are kept.
    for (let n = 0; n < 20; n++) await client.write(n * 8192, page(200, 1));
    const { writes, kept, torn } = await device.loopPowerCut(
      { keep: 'random', seed, tear },
      sever(served, device),
    );
    t.equal(writes, 120);
    t.ok(kept > 30 && kept <= 120, `${kept} kept`);
    t.equal(torn > 0, tear);
    const content = fileOf(device);
    for (let sector = 0; sector < 2048; sector++) {
      const bytes = new Set(content.subarray(sector * 512, (sector + 1) * 512));
      const [byte = -1] = bytes;
      const place = Math.floor(sector / 16);
      const isTopped = place < 20 && sector % 16 < 8;
      const isRight = byte === 0 || byte === place + 1 || (isTopped && byte === 200);
      if (bytes.size !== 1 || !isRight) t.fail(`sector ${sector} holds ${[...bytes]}`);
    }
    return content;
  };
  const [one, again, other] = [await cutBy(5, false), await cutBy(5, false), await cutBy(6, false)];
  t.ok(one.equals(again));
  t.notOk(one.equals(other));
  t.ok((await cutBy(5, true)).equals(await cutBy(5, true)));
});

t.test(
  'a log holds every write in order; replayed it is the disk, up to a mark, an entry or a failing check',
  async (t) => {
    await using served = await ServedLoops.start();
    const device = await served.bench.bound();
    const log = served.bench.dir.file('writes.log');
    await device.loopSetLog(log);
    const client = await NbdRequests.open(served.socketPath);
    await client.write(0, page(1, 2));
    await client.flush();
    const marked = fileOf(device);
    await device.loopMark('here');
    await client.write(4096, page(2), { fua: true });
    await client.write(300, Buffer.alloc(10, 3));
    await client.trim(65536, 4096);
    await client.flush();
    await client.write(8192, page(4, 256 - 2));
    await client.leave();
    const { size } = device.snapshot();
    const base = { log, toMark: null, toEntry: null, check: null, inPlace: false };
    const image = (name: string): string => makeSparseFile(served.bench.dir.file(name), size);
    const whole = image('whole');
    t.match(replay({ ...base, onto: whole }), { entries: 9, failed: null });
    t.ok(readFileSync(whole).equals(fileOf(device)));
    const part = image('part');
    t.match(replay({ ...base, onto: part, toMark: 'here' }), { entries: 3 });
    t.ok(readFileSync(part).equals(marked));
    const first = image('first');
    replay({ ...base, onto: first, toEntry: 1 });
    t.ok(readFileSync(first).equals(marked));
    t.throws(() => replay({ ...base, onto: first, toMark: 'nowhere' }), { message: /no mark 'nowhere'/ });
    const checked = image('checked');
    const check =
      'test "$(od -An -tu1 -j4096 -N1 $NBDLOOP_IMAGE | tr -d " ")" = 1 && echo spoilt > $NBDLOOP_IMAGE';
    t.match(replay({ ...base, onto: checked, check }), { checks: 2, failed: { entry: 7, status: 1 } });
    writeFileSync(served.bench.dir.file('no.log'), 'no log at all, but long enough for a super block');
    t.throws(() => replay({ ...base, log: served.bench.dir.file('no.log'), onto: first }), {
      message: /does not begin as a log/,
    });
  },
);

t.test(
  "qemu's own driver of the format reads our log and goes on in it, and we replay what it writes",
  async (t) => {
    await using served = await ServedLoops.start();
    const device = await served.bench.bound();
    const log = served.bench.dir.file('writes.log');
    await device.loopSetLog(log);
    const client = await NbdRequests.open(served.socketPath);
    await client.write(0, page(1, 2), { fua: true });
    await device.loopMark('a mark');
    await client.trim(65536, 4096);
    await client.write(512, Buffer.alloc(512, 2));
    await client.flush();
    await client.leave();
    const disk = served.bench.dir.file('disk');
    writeFileSync(disk, fileOf(device));
    await device.loopSetLog(null);
    const driver = `driver=blklogwrites,log-append=on,file.driver=file,file.filename=${disk},log.driver=file,log.filename=${log}`;
    const writes = ['write -P 7 8k 8k', 'write -f -P 9 4k 4k', 'discard 128k 64k', 'flush'].flatMap((one) => [
      '-c',
      one,
    ]);
    const ended = await run('qemu-io', ['--image-opts', driver, ...writes]);
    t.equal(ended.status, 0, ended.stderr);
    const onto = makeSparseFile(served.bench.dir.file('onto'), device.snapshot().size);
    const done = replay({ log, onto, toMark: null, toEntry: null, check: null, inPlace: false });
    t.ok(done.entries >= 9, `${done.entries} entries: 5 of ours, 4 or more of qemu's`);
    t.ok(readFileSync(onto).equals(readFileSync(disk)));
  },
);
