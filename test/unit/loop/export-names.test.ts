import t from 'tap';
import { LoopExports } from '../../../driver/loop/exports.js';
import { errnoOf, LoopBench } from '../../helpers/loop-bench.js';

const UUID = /; uuid=[0-9a-f-]{36}$/;

t.test('an export is found under its own name and under its device', async (t) => {
  await using bench = new LoopBench();
  const exports = new LoopExports(bench.control);
  const device = await bench.device(2);
  await device.loopConfigure({ file: bench.file('a'), exportName: 'db', description: 'the data base' });
  t.match(device.snapshot(), { name: 'loop2', exportName: 'db', description: 'the data base' });
  for (const name of ['db', 'loop2', '']) {
    t.strictSame(exports.find(name)?.names, ['db', 'loop2'], `'${name}'`);
    t.match(exports.find(name)?.info(), { name: 'db', description: /^the data base; uuid=/ });
  }
  t.equal(exports.list().length, 1);

  const session = await exports.find('db')?.open();
  await device.loopSetStatus({ exportName: 'logs', description: '' });
  t.equal(exports.find('db'), undefined);
  t.strictSame(exports.find('logs')?.names, ['logs', 'loop2']);
  t.match(exports.find('logs')?.info().description, /^loop2: .*\/a; uuid=/);
  t.strictSame(session?.names(), ['logs', 'loop2'], 'a session knows its names of now');
  t.equal(bench.history(device), 'add bind change');

  await device.loopSetStatus({ exportName: '' });
  t.strictSame(exports.find('loop2')?.names, ['loop2']);
  await session?.release();
  await device.loopSetStatus({ exportName: 'again' });
  await device.loopClrFd();
  t.equal(exports.find('again'), undefined, 'a name goes with the file');
  t.match(device.snapshot(), { exportName: null, description: null });
});

t.test('a name is one export alone: EEXIST, and nothing has changed', async (t) => {
  await using bench = new LoopBench();
  const first = await bench.bound();
  const second = await bench.bound();
  await first.loopSetStatus({ exportName: 'db' });
  await t.rejects(second.loopSetStatus({ exportName: 'db' }), {
    errno: 'EEXIST',
    message: `loop1 can't be exported as "db": loop0 has that name.`,
  });
  t.equal(second.snapshot().exportName, null);
  t.equal(
    await errnoOf(bench.control.findAndConfigure({ file: bench.file('c'), exportName: 'db' })),
    'EEXIST',
  );
  await first.loopSetStatus({ exportName: 'db' });
  t.equal(bench.history(first), 'add bind change', 'the same name again is no change');
  // Two that want one name: one has it.
  const both = [first, second].map((device) => errnoOf(device.loopSetStatus({ exportName: 'new' })));
  t.strictSame((await Promise.all(both)).sort(), ['EEXIST', 'none']);
  await first.loopClrFd();
  await second.loopSetStatus({ exportName: 'db' });
});

t.test('what can be a name, and a description', async (t) => {
  await using bench = new LoopBench();
  const device = await bench.bound();
  const set = (settings: object): Promise<string> => errnoOf(device.loopSetStatus(settings));
  for (const exportName of [
    'a',
    'loop',
    'loopy1',
    'Loop1',
    'a/b c',
    'ü😀',
    'x'.repeat(4096),
    'ü'.repeat(2048),
  ]) {
    t.equal(await set({ exportName }), 'none', exportName.slice(0, 20));
    t.equal(new LoopExports(bench.control).find(exportName)?.names[0], exportName);
  }
  for (const exportName of [
    ...['loop0', 'loop77', 'loop007', '*', 'db:ro', 'a\nb', 'a\0b', '\u0085', '\u2028', '\ud800'],
    ...['x'.repeat(4097), 'ü'.repeat(2049)],
  ]) {
    t.equal(await set({ exportName }), 'EINVAL', Buffer.from(exportName.slice(0, 8)).toString('hex'));
  }
  t.equal(device.snapshot().exportName, 'ü'.repeat(2048), 'what is refused changes nothing');
  t.equal(await set({ description: 'd'.repeat(4053) }), 'none');
  const told = new LoopExports(bench.control).find('loop0')?.info().description ?? '';
  t.equal(Buffer.byteLength(told), 4096);
  t.match(told, UUID, 'the uuid is told in any case');
  for (const description of ['d'.repeat(4054), 'two\nlines', '\udcff']) {
    t.equal(await set({ description }), 'EINVAL', JSON.stringify(description.slice(0, 20)));
  }
});

t.test('a name is changed while requests hang', async (t) => {
  await using bench = new LoopBench();
  const device = await bench.bound();
  const { generation } = device.snapshot();
  await device.loopSetStatus({ exportName: 'db' });
  t.equal(device.snapshot().generation, generation, 'the queue was not frozen');
});

t.test('the default export is the one that is named, or none', async (t) => {
  await using bench = new LoopBench();
  await bench.bound();
  const device = await bench.bound();
  const names = (defaultExport?: string) => new LoopExports(bench.control, { defaultExport }).find('')?.names;
  t.strictSame(names(), ['loop0']);
  t.strictSame(names('loop1'), ['loop1']);
  t.equal(names(''), undefined);
  t.equal(names('db'), undefined);
  await device.loopSetStatus({ exportName: 'db' });
  t.strictSame(names('db'), ['db', 'loop1']);
});

t.test('a device that is down keeps its name', async (t) => {
  await using bench = new LoopBench();
  bench.control.reserve(7, 'it is down.', 'db');
  const device = await bench.bound();
  await t.rejects(device.loopSetStatus({ exportName: 'db' }), { errno: 'EEXIST', message: /loop7 has/ });
  t.equal(new LoopExports(bench.control).find('db'), undefined);
  const file = await bench.control.openFile({ file: bench.file('b') });
  const config = { file: file.path, exportName: 'db' };
  await bench.control.restore(7, file, config, { id: 'x', size: 1 << 20 });
  t.strictSame(new LoopExports(bench.control).find('db')?.names, ['db', 'loop7']);
  await bench.control.device(7).loopSetStatus({ exportName: 'other' });
  await device.loopSetStatus({ exportName: 'db' });
});
