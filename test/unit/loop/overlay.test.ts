import {
  appendFileSync,
  copyFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import t from 'tap';
import { presentHeader, readHeaders } from '../../../driver/store/delta/delta-file.js';
import { OpenFile } from '../../helpers/file-systems.js';
import { errnoOf, LoopBench, MIB } from '../../helpers/loop-bench.js';
import { OverlayBench } from '../../helpers/overlays.js';

const headerOf = async (path: string) => {
  using file = OpenFile.open(path, 'r');
  const header = presentHeader(await readHeaders(file.fd));
  if (header === undefined) throw new Error('no header');
  return header;
};

t.test('an overlay tells of itself, and of its layers', async (t) => {
  await using bench = await OverlayBench.start();
  bench.write(4096, Buffer.alloc(8192, 1));
  t.match(bench.device.snapshot(), { file: bench.base, delta: bench.delta, layers: 2, readOnly: false });
  const [top, base] = bench.device.layers();
  t.match(top, {
    kind: 'delta',
    path: bench.delta,
    heldBlocks: 2,
    blockSize: 4096,
    size: bench.model.length,
  });
  t.match(base, { kind: 'base', path: bench.base, uuid: null, size: bench.model.length });
  await bench.device.loopClrFd({ force: true });
  t.match(bench.device.snapshot(), { delta: null, layers: 0 });
  t.equal((await headerOf(bench.delta)).isClean, true);
});

t.test('many overlays share a base, which nobody may write; who has it is said', async (t) => {
  await using loops = new LoopBench();
  const base = loops.file('base');
  const deltas = ['a', 'b', 'c'].map((name) => loops.dir.file(name));
  for (const delta of deltas) await loops.control.findAndConfigure({ file: base, overlay: { delta } });
  const descriptors = readdirSync('/proc/self/fd').length;
  await loops.control.findAndConfigure({ file: base, overlay: { delta: loops.dir.file('d') } });
  t.ok(readdirSync('/proc/self/fd').length <= descriptors + 2, 'the base is open once');
  await t.rejects(loops.control.findAndConfigure({ file: base }), {
    errno: 'EBUSY',
    message: `The file ${base} is the base of loop0, loop1, loop2, loop3.`,
  } as unknown as Error);
  t.equal(
    await errnoOf(loops.control.findAndConfigure({ file: base, readOnly: true })),
    'none',
    'it may be read',
  );
  t.equal(
    await errnoOf(loops.control.findAndConfigure({ file: base, overlay: { delta: deltas[0] as string } })),
    'EBUSY',
  );
  t.equal(
    await errnoOf(loops.control.findAndConfigure({ file: deltas[0] as string })),
    'EBUSY',
    'a delta in use',
  );
});

t.test('a base that is written is none', async (t) => {
  await using loops = new LoopBench();
  const base = loops.file('base');
  await loops.control.findAndConfigure({ file: base });
  await t.rejects(loops.control.findAndConfigure({ file: base, overlay: { delta: loops.dir.file('d') } }), {
    errno: 'EBUSY',
    message: `The file ${base} is the file of loop0.`,
  } as unknown as Error);
});

t.test('a base that changed since is refused, unless the caller vouches for it', async (t) => {
  const changes: [string, (base: string) => void][] = [
    ['written to', (base) => utimesSync(base, new Date(), new Date(1))],
    ['longer', (base) => appendFileSync(base, Buffer.alloc(4096))],
    [
      'another file',
      (base) => {
        copyFileSync(base, `${base}.copy`);
        const { atime, mtime } = statSync(base);
        utimesSync(`${base}.copy`, atime, mtime);
        writeFileSync(`${base}.kept`, '');
        copyFileSync(`${base}.copy`, base);
      },
    ],
  ];
  for (const [what, change] of changes) {
    await using bench = await OverlayBench.start({ bytes: MIB });
    bench.steps(20);
    await bench.device.loopClrFd({ force: true });
    change(bench.base);
    const config = { file: bench.base, overlay: { delta: bench.delta } };
    t.equal(await errnoOf(bench.device.loopConfigure(config)), 'ESTALE', what);
    await bench.bind({ ...config, overlay: { ...config.overlay, force: true } });
    bench.check();
    await bench.rebind(config);
    t.pass('and from then on it is the base as it is');
  }
});

t.test('a file that is no delta, or a damaged one, is refused, and stays as it is', async (t) => {
  await using bench = await OverlayBench.start({ bytes: MIB });
  bench.steps(20);
  await bench.device.loopClrFd({ force: true });
  const good = readFileSync(bench.delta);
  const damages: [string, (bytes: Buffer) => Buffer][] = [
    ['something else', () => Buffer.alloc(8192, 'x')],
    ['both headers', (bytes) => bytes.fill(0, 100, 110).fill(0, 4196, 4206)],
    ['cut short', (bytes) => bytes.subarray(0, bytes.length - 4096)],
    ['bits behind the end', (bytes) => bytes.fill(0xff, 8192 + 64, 8192 + 70)],
  ];
  for (const [what, damage] of damages) {
    const bad = damage(Buffer.from(good));
    writeFileSync(bench.delta, bad);
    const config = { file: bench.base, overlay: { delta: bench.delta } };
    t.equal(await errnoOf(bench.device.loopConfigure(config)), 'EINVAL', what);
    t.ok(readFileSync(bench.delta).equals(bad));
  }
  const torn = Buffer.from(good);
  torn.fill(0, ((await headerOf(bench.delta).catch(() => undefined)) ? 0 : 0) + 100, 110);
  writeFileSync(bench.delta, torn);
  await bench.bind({ file: bench.base, overlay: { delta: bench.delta } }).then(
    () => bench.check(),
    () => t.fail('one good header is enough'),
  );
});

t.test('what can not be with an overlay is refused with its errno', async (t) => {
  await using bench = await OverlayBench.start();
  const { device } = bench;
  t.equal(await errnoOf(device.loopSetDio(true)), 'EINVAL');
  t.equal(await errnoOf(device.loopSetDio(false)), 'none');
  t.equal(await errnoOf(device.loopSetBlockSize(4096)), 'none');
  await bench.rebind({ file: bench.base, readOnly: true, directIo: true, overlay: { delta: bench.delta } });
  t.match(device.snapshot(), { directIo: false, readOnly: true, warnings: [/direct I\/O was asked for/] });
  t.equal(await errnoOf(device.loopChangeFd(bench.base)), 'EINVAL');
  await device.loopClrFd({ force: true });
  const missing = { file: bench.base, overlay: { delta: bench.dir.file('no/such/folder') } };
  t.equal(await errnoOf(device.loopConfigure(missing)), 'ENOENT');
  t.equal(
    await errnoOf(device.loopConfigure({ file: bench.dir.file('none'), overlay: { delta: bench.delta } })),
    'EBADF',
  );
});

t.test(
  'it grows with its base, and by its own file; what is there stays, and what is new reads as the base',
  async (t) => {
    await using bench = await OverlayBench.start({ bytes: MIB });
    const { device } = bench;
    bench.steps(50);
    truncateSync(bench.base, 3 * MIB);
    await device.loopSetCapacity();
    t.equal(device.snapshot().size, 3 * MIB);
    bench.model = Buffer.concat([bench.model, Buffer.alloc(2 * MIB)]);
    bench.check();
    bench.steps(50);
    const { dataOffset } = await headerOf(bench.delta);
    truncateSync(bench.delta, dataOffset + 200 * MIB);
    await device.loopSetCapacity();
    t.equal(device.snapshot().size, 200 * MIB, 'more than a page of the bitmap tells of');
    bench.model = Buffer.concat([bench.model, Buffer.alloc(197 * MIB)]);
    bench.steps(50);
    bench.flush();
    await bench.rebind({ file: bench.base, overlay: { delta: bench.delta } });
    t.equal(device.snapshot().size, 200 * MIB);
    bench.check();
    truncateSync(bench.delta, dataOffset + 2 ** 42);
    t.equal(await errnoOf(device.loopSetCapacity()), 'EFBIG');
    truncateSync(bench.delta, dataOffset + 200 * MIB);
  },
);

t.test('a temporary delta has no name, and its room is free when the device lets go of it', async (t) => {
  await using loops = new LoopBench();
  const base = loops.file('base');
  const bound = await loops.control.findAndConfigure({ file: base, overlay: { temporary: true } });
  t.match(bound.delta, / \(deleted\)$/);
  await loops.control.device(bound.number).loopClrFd({ force: true });
  t.strictSame(readdirSync(loops.dir.path), ['base']);
});

t.test('an overlay over a part of the base, with autoclear: the last close settles the delta', async (t) => {
  await using bench = await OverlayBench.start({ bytes: 2 * MIB });
  await bench.rebind({ file: bench.base, offset: MIB, autoclear: true, overlay: { delta: bench.delta } });
  bench.model = bench.model.subarray(MIB);
  bench.steps(50);
  await bench.device.loOpen();
  await bench.device.loRelease();
  await bench.device.idle();
  t.equal(bench.device.state, 'unbound');
  t.equal((await headerOf(bench.delta)).isClean, true);
  await bench.bind({ file: bench.base, offset: MIB, overlay: { delta: bench.delta } });
  bench.check();
  await bench.device.loopSetStatus({ offset: 0 });
  t.equal(bench.device.snapshot().size, 2 * MIB);
});

t.test('a base of more blocks than a delta can tell of is refused, by name', async (t) => {
  await using loops = new LoopBench();
  const file = loops.dir.file('huge');
  writeFileSync(file, '');
  truncateSync(file, 9 * 2 ** 40);
  const delta = loops.dir.file('delta');
  await t.rejects(loops.control.findAndConfigure({ file, overlay: { delta, blockSize: 4096 } }), {
    errno: 'EFBIG',
    message: /at most 8 TiB in blocks of 4096 bytes, 128 TiB in blocks of 65536/,
  } as unknown as Error);
  t.notOk(existsSync(delta));
});

t.test('a delta that is bound as an image is served, and said', async (t) => {
  await using bench = await OverlayBench.start({ bytes: MIB });
  t.strictSame(bench.device.snapshot().warnings, []);
  await bench.device.loopClrFd({ force: true });
  await bench.device.loopConfigure({ file: bench.delta, readOnly: true });
  t.match(bench.device.snapshot().warnings, [/looks like the delta of an overlay.*nbdlosetup --overlay/]);
});
