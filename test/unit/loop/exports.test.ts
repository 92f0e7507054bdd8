import t from 'tap';
import { LoopExports } from '../../../driver/loop/exports.js';
import { errnoOf, LoopBench, MIB } from '../../helpers/loop-bench.js';

t.test('exports are named after their devices', async (t) => {
  await using bench = new LoopBench();
  const exports = new LoopExports(bench.control);
  t.same(exports.list(), []);
  t.equal(exports.find(''), undefined);
  await bench.device(2);
  const device = await bench.device(10);
  t.same(
    exports.list().map(({ names }) => names[0]),
    ['loop2', 'loop10'],
  );
  for (const name of ['loop', 'loop3', 'loop02', 'loop-2', 'Loop2', 'loop2 ', 'loop2\n', 'loop1e1', 'disk']) {
    t.equal(exports.find(name), undefined, JSON.stringify(name));
  }
  t.equal(exports.find('loop10')?.names[0], 'loop10');
  t.equal(exports.find(''), undefined, 'nothing is bound, and there is no loop0');
  await bench.device(0);
  t.equal(exports.find('')?.names[0], 'loop0');
  await device.loopConfigure({ file: bench.file('disk.img') });
  t.equal(exports.find('')?.names[0], 'loop10', 'the lowest bound device is the default');
});

t.test('what a client is told', async (t) => {
  await using bench = new LoopBench();
  const device = await bench.device();
  const loop0 = new LoopExports(bench.control).find('loop0');
  t.match(loop0?.info(), { name: 'loop0', size: 0, readOnly: false, description: 'loop0: no backing file' });
  const file = bench.file('disk.img');
  await device.loopConfigure({ file, readOnly: true });
  t.same(loop0?.info(), {
    name: 'loop0',
    description: `loop0: ${file}; uuid=${device.snapshot().uuid}`,
    size: MIB,
    readOnly: true,
    blockSizes: { minimum: 512, preferred: 4096, maximum: 32 * MIB },
    fastZero: true,
  });
  await device.loopSetBlockSize(4096);
  t.equal(loop0?.info().blockSizes.minimum, 4096);
});

t.test(
  'where the device ends within a block, the minimum is what its last bytes can be reached with',
  async (t) => {
    await using bench = new LoopBench();
    const device = await bench.device();
    const loop0 = new LoopExports(bench.control).find('loop0');
    const file = bench.file('disk.img');
    await device.loopConfigure({ file, blockSize: 4096 });
    const minimum = () => loop0?.info().blockSizes.minimum;
    t.equal(minimum(), 4096);
    for (const [sizeLimit, expected] of [
      [MIB - 512, 512],
      [MIB - 1024, 1024],
      [MIB - 2048, 2048],
      [MIB - 4096, 4096],
      [512, 512],
    ] as const) {
      await device.loopSetStatus({ offset: 0, sizeLimit });
      t.equal(loop0?.info().size, sizeLimit);
      t.equal(minimum(), expected, `${sizeLimit} bytes`);
    }
  },
);

t.test('a session counts as one opener, until it is released, once', async (t) => {
  await using bench = new LoopBench();
  const device = await bench.bound({ autoclear: true });
  const loop0 = new LoopExports(bench.control).find('loop0');
  const session = await loop0?.open();
  t.equal(session?.info.size, MIB);
  t.equal(session?.device, 0);
  t.equal(session?.shared, device.queue.shared);
  t.equal(device.openers, 1);
  await Promise.all([session?.release(), session?.release()]);
  await session?.release();
  t.match(device.snapshot(), { openers: 0, state: 'unbound' });
});

t.test('an export whose device was removed is ENXIO', async (t) => {
  await using bench = new LoopBench();
  await bench.device();
  const loop0 = new LoopExports(bench.control).find('loop0');
  await bench.control.ctlRemove(0);
  t.equal(await errnoOf(loop0?.open() ?? Promise.resolve()), 'ENXIO');
});
