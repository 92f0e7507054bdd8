import { closeSync, existsSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import t from 'tap';
import {
  endUnknownKeepers,
  keepDescriptors,
  keeperIsKnown,
  takeDescriptors,
} from '../../../driver/kernel/keeper.js';
import type { DeviceRecord } from '../../../driver/state/state.js';
import { StateDirectory, type StateEdit } from '../../../driver/state/state-directory.js';
import { refusal } from '../../helpers/refusal.js';
import { TempDir } from '../../helpers/temp.js';
import { until } from '../../helpers/until.js';

// To name the holder of a lock, every process of the machine is looked at.
t.setTimeout(110_000);

const DEVICE: DeviceRecord = {
  number: 3,
  id: '9b7c3a52-5f5e-4d38-a0d5-0a8f3c4c1d11',
  file: '/images/a.img',
  identity: {
    device: 2049n,
    inode: 2n ** 63n + 1n,
    birthTime: 1_790_000_000_123_456_789n,
    generation: 77n,
    fileSystem: '0123456789abcdef',
    handle: '1:0c0000004d000000',
    blockDevice: null,
  },
  reference: 'disk',
  exportName: 'müll',
  description: null,
  size: 1 << 20,
  offset: 2n ** 62n + 512n,
  sizeLimit: 0n,
  blockSize: 4096,
  readOnly: false,
  autoclear: true,
  partscan: false,
  directIo: false,
  overlay: null,
  attach: { by: 'netlink', connections: 4, timeout: 30, deadTimeout: 60 },
  attachAgain: true,
};

const put =
  (record: DeviceRecord): StateEdit =>
  ({ devices }) =>
    void devices.set(record.number, record);

t.test('what one daemon writes the next one finds, to the last bit, under the same identity', async (t) => {
  using directory = new TempDir();
  const first = await StateDirectory.open(directory.file('state'));
  t.strictSame(first.devices, []);
  await first.change(put(DEVICE));
  await first.close();
  const second = await StateDirectory.open(directory.file('state'));
  t.equal(second.daemonId, first.daemonId);
  t.strictSame(second.devices, [DEVICE]);
  await second.close();
});

t.test('edits are carried out in order, also those that come while others are written', async (t) => {
  using directory = new TempDir();
  const state = await StateDirectory.open(directory.path);
  const changes = [1, 2, 3].map((number) => state.change(put({ ...DEVICE, number })));
  await Promise.resolve();
  await Promise.resolve();
  changes.push(
    state.change(({ devices }) => void devices.delete(2)),
    state.change(put({ ...DEVICE, number: 1, size: 512 })),
  );
  await Promise.all(changes);
  const early = state.change(put({ ...DEVICE, number: 9 }));
  await state.close();
  await early;
  await state.change(put({ ...DEVICE, number: 4 }));
  const next = await StateDirectory.open(directory.path);
  t.strictSame(
    next.devices.map(({ number, size }) => [number, size]),
    [
      [1, 512],
      [3, DEVICE.size],
      [9, DEVICE.size],
    ],
    'what was asked for before the close is written, a change after it does nothing',
  );
  await next.close();
});

t.test('a state of another boot, or one that is no state, is not trusted', async (t) => {
  using directory = new TempDir();
  const first = await StateDirectory.open(directory.path);
  await first.change(put(DEVICE));
  await first.close();
  const file = directory.file('state.json');
  const text = readFileSync(file, 'utf8').trim();
  const bootId = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  const spoilt = [
    text.replace(bootId, 'another'),
    text.slice(0, -20),
    text.replace('"inode"', '"node"'),
    text.replace('4096', '"4096"'),
    '[]',
    '{"version":2}',
  ];
  for (const one of spoilt) {
    writeFileSync(file, one);
    const next = await StateDirectory.open(directory.path);
    t.strictSame(next.devices, []);
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

t.test('a keeper that nobody would find ends with the process that made it', async (t) => {
  using directory = new TempDir();
  const fd = openSync(directory.file('kept'), 'w');
  const [known, unknown] = [keepDescriptors([fd], 60), keepDescriptors([fd], 60)];
  closeSync(fd);
  if (known === undefined || unknown === undefined) throw new Error('no keeper');
  keeperIsKnown(known);
  endUnknownKeepers();
  await until('it has ended', async () => (existsSync(`/proc/${unknown.pid}`) ? undefined : true));
  const [taken = -1] = takeDescriptors(known);
  t.ok(taken >= 0, 'the other one is there');
  closeSync(taken);
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
