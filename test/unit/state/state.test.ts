import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { lockForWriting } from '../../../driver/io/file-lock.js';
import { keepDescriptors, takeDescriptors } from '../../../driver/kernel/keeper.js';
import type { DeviceState } from '../../../driver/state/state.js';
import { StateDirectory } from '../../../driver/state/state-directory.js';
import { refusal } from '../../helpers/refusal.js';
import { makeSparseFile, TempDir } from '../../helpers/temp.js';

const DEVICE: DeviceState = {
  number: 3,
  config: {
    file: '/images/a.img',
    offset: 512,
    sizeLimit: 0,
    blockSize: 4096,
    readOnly: false,
    autoclear: true,
    partscan: false,
    directIo: false,
    reference: 'disk',
  },
  attach: { by: 'netlink', connections: 4, timeout: 30, deadTimeout: 60 },
};

t.test('what one daemon saves the next one finds, under the same identity', async (t) => {
  using directory = new TempDir();
  const first = await StateDirectory.open(directory.file('state'));
  t.strictSame(first.previous.devices, []);
  await first.save([DEVICE]);
  await first.close();
  const second = await StateDirectory.open(directory.file('state'));
  t.equal(second.daemonId, first.daemonId);
  t.strictSame(second.previous.devices, [DEVICE]);
  await second.close();
});

t.test('the last of many saves is what stays', async (t) => {
  using directory = new TempDir();
  const state = await StateDirectory.open(directory.path);
  const saves = [1, 2, 3, 4, 5].map((number) => state.save([{ ...DEVICE, number }]));
  t.equal(new Set(saves).size, 1, 'what is saved before the disk has begun is written once');
  await Promise.all(saves);
  const early = state.save([DEVICE]);
  await Promise.resolve();
  await Promise.resolve();
  const late = Array.from({ length: 1000 }, (_, i) => state.save([{ ...DEVICE, number: i % 7 }]));
  late.push(state.save([{ ...DEVICE, number: 5 }]));
  t.equal(new Set([early, ...late]).size, 2, 'and so is all that comes while it writes');
  await Promise.all([early, ...late]);
  await state.close();
  await state.save([]);
  const next = await StateDirectory.open(directory.path);
  t.strictSame(
    next.previous.devices.map(({ number }) => number),
    [5],
    'a save after the close does nothing',
  );
  await next.close();
});

t.test('a state of another boot, or one that is no state, is not trusted', async (t) => {
  using directory = new TempDir();
  const first = await StateDirectory.open(directory.path);
  await first.save([DEVICE]);
  await first.close();
  const file = directory.file('state.json');
  const text = readFileSync(file, 'utf8');
  for (const spoilt of [text.replace(first.bootId, 'another'), text.slice(0, -20), '[]', '{"version":1}']) {
    writeFileSync(file, spoilt);
    const next = await StateDirectory.open(directory.path);
    t.strictSame(next.previous.devices, []);
    await next.close();
  }
});

t.test('a second daemon is refused the directory', async (t) => {
  using directory = new TempDir();
  const first = await StateDirectory.open(directory.path);
  t.equal(await refusal(StateDirectory.open(directory.path)), 'EBUSY');
  await first.close();
  await (await StateDirectory.open(directory.path)).close();
});

t.test('one process writes a file through several devices, and lets it go with the last', async (t) => {
  using directory = new TempDir();
  const path = makeSparseFile(directory.file('disk'), 4096);
  const fd = openSync(path, 'r+');
  const file = { path, device: 1n, inode: 2n };
  const first = await lockForWriting(fd, file);
  const second = await lockForWriting(fd, file);
  await first.release();
  await first.release();
  // Another identity stands for another daemon: its lock is a description of its own.
  t.equal(await refusal(lockForWriting(fd, { ...file, inode: 3n })), 'EBUSY', 'still locked by the second');
  await second.release();
  const other = await lockForWriting(fd, { ...file, inode: 3n });
  await other.release();
  closeSync(fd);
});

t.test('a keeper holds descriptors until they are taken, and ends then', async (t) => {
  using directory = new TempDir();
  writeFileSync(directory.file('kept'), 'content');
  const fd = openSync(directory.file('kept'), 'r');
  const kept = keepDescriptors([fd], 60);
  closeSync(fd);
  if (kept === undefined) throw new Error('no keeper');
  const [taken = -1] = takeDescriptors(kept);
  t.ok(taken >= 0);
  t.equal(readFileSync(taken, 'utf8'), 'content');
  closeSync(taken);
  t.strictSame(takeDescriptors({ ...kept, startTime: '0' }), [-1], 'a process of another time is left alone');
});
