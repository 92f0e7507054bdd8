import { linkSync, openSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { blockDeviceOf, makeDevice } from '../../../driver/io/device-number.js';
import {
  describeApart,
  describeIdentity,
  type ExaminedFile,
  examineFile,
  type FileIdentity,
  identityFromJson,
  identityToJson,
  sameFile,
} from '../../../driver/io/file-identity.js';
import { fileSystems, OpenFile } from '../../helpers/file-systems.js';
import { KernelLoop, skipWithoutKernelLoop } from '../../helpers/kernel-loop.js';
import { makeSparseFile, TempDir } from '../../helpers/temp.js';

const MIB = 1 << 20;
/** O_PATH of asm-generic/fcntl.h. */
const O_PATH = 0o10000000;

async function examined(path: string, flags: number | string = 'r'): Promise<ExaminedFile> {
  using file = new OpenFile(openSync(path, flags));
  return await examineFile(file.fd);
}

const REGULAR: FileIdentity = {
  device: 0xfe00n,
  inode: 12n,
  birthTime: 1_790_000_000_123_456_789n,
  generation: 7n,
  fileSystem: '0123456789abcdef0123456789abcdef',
  handle: '1:0c00000007000000',
  blockDevice: null,
};
const DISK: FileIdentity = { ...REGULAR, fileSystem: null, handle: null, blockDevice: 0x810n };

for (const [name, directory] of fileSystems()) {
  t.test(`${name}: a file is what its descriptor says, by whatever name`, async (t) => {
    using dir = new TempDir(directory);
    const path = makeSparseFile(dir.file('a.img'), MIB);
    const { dev, ino } = statSync(path, { bigint: true });
    const first = await examined(path);
    t.match(first, { kind: 'regular', device: dev, inode: ino, blockDevice: null });
    t.same(await examined(path, O_PATH), { ...first, generation: null, fileSystem: null }, 'unopened');

    linkSync(path, dir.file('b.img'));
    renameSync(path, dir.file('c.img'));
    t.same(await examined(dir.file('b.img')), first, 'another link');
    t.same(await examined(dir.file('c.img')), first, 'another name');
    t.ok(sameFile(await examined(dir.file('c.img'), O_PATH), first));

    writeFileSync(path, 'new');
    t.notOk(sameFile(await examined(path), first), 'another file under its first name');
  });

  t.test(`${name}: an inode number that is used again is another file`, async (t) => {
    using dir = new TempDir(directory);
    const path = makeSparseFile(dir.file('a.img'), MIB);
    const first = await examined(path);
    rmSync(path);
    makeSparseFile(path, MIB);
    const second = { ...(await examined(path)), inode: first.inode };
    t.not(first.birthTime, null, 'the file system tells when a file was made');
    t.notOk(sameFile(first, second));
  });
}

t.test('a directory and a device that is no disk are neither regular nor block devices', async (t) => {
  t.match(await examined('/tmp', O_PATH), { kind: 'other', blockDevice: null });
  t.match(await examined('/dev/null'), { kind: 'other', blockDevice: null });
});

t.test(
  'a disk is known by its number and how often that was used',
  { skip: skipWithoutKernelLoop() },
  async (t) => {
    using dir = new TempDir();
    const image = makeSparseFile(dir.file('a.img'), MIB);
    let first: ExaminedFile;
    let path: string;
    {
      await using loop = await KernelLoop.attach(image);
      path = loop.path;
      first = await examined(path);
      t.match(first, { kind: 'block', blockDevice: statSync(path, { bigint: true }).rdev, fileSystem: null });
      t.ok(sameFile(first, await examined(path)));
      t.ok(sameFile(first, await examined(path, O_PATH)));
      t.ok(sameFile(first, { ...(await examined(path)), device: 99n, inode: 99n }), 'by another node');
    }
    t.notOk(
      sameFile(first, { ...first, generation: (first.generation ?? 0n) + 1n }),
      'another disk, same number',
    );
  },
);

t.test('a partition that begins elsewhere by now is another one', async (t) => {
  const partition: FileIdentity = { ...DISK, handle: 'start:1000' };
  t.notOk(sameFile(partition, { ...partition, handle: 'start:2000' }));
  t.ok(sameFile(partition, { ...partition, handle: 'start:1000', device: 1n, inode: 1n }));
  t.same(identityFromJson(JSON.parse(JSON.stringify(identityToJson(partition)))), partition);
});

t.test('what both tell must agree, and what one does not tell is not compared', async (t) => {
  const without: FileIdentity = {
    ...REGULAR,
    ...{ birthTime: null, generation: null, fileSystem: null, handle: null },
  };
  t.ok(sameFile(REGULAR, without));
  t.ok(sameFile(without, REGULAR));
  for (const other of [
    { device: 0xfe01n },
    { inode: 13n },
    { birthTime: 1_790_000_000_123_456_790n },
    { generation: 8n },
    { fileSystem: 'ffffffffffffffffffffffffffffffff' },
    { handle: '4d:0c00000007000000' },
  ]) {
    t.notOk(sameFile(REGULAR, { ...REGULAR, ...other }), `another ${Object.keys(other)}`);
  }
  t.ok(
    sameFile(DISK, { ...DISK, device: 1n, inode: 1n, birthTime: 1n }),
    'the node of a disk does not count',
  );
  t.notOk(sameFile(DISK, { ...DISK, blockDevice: 0x820n }));
  t.notOk(sameFile({ ...DISK, inode: 13n }, { ...DISK, blockDevice: null }), 'a node, by its inode');
});

t.test('every number goes through JSON exactly', async (t) => {
  for (const inode of [0n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 60n + 1n, 2n ** 63n + 1n, 2n ** 64n - 1n]) {
    for (const identity of [
      { ...REGULAR, inode },
      { ...DISK, inode, generation: inode },
    ]) {
      const text = JSON.stringify(identityToJson(identity));
      t.same(identityFromJson(JSON.parse(text)), identity, text);
    }
  }
  t.equal(identityToJson({ ...REGULAR, inode: 12n }).inode, 12);
  t.equal(identityToJson({ ...REGULAR, inode: 2n ** 60n + 1n }).inode, '1152921504606846977');
});

t.test('what is no identity is none', async (t) => {
  const nothing = { birthTime: null, generation: null, fileSystem: null, handle: null, blockDevice: null };
  t.same(identityFromJson({ device: 1, inode: '2' }), { device: 1n, inode: 2n, ...nothing });
  for (const json of [
    null,
    'x',
    {},
    { device: 1 },
    { device: 1, inode: -1 },
    { device: 1, inode: 1.5 },
    { device: 1, inode: 2 ** 53 },
    { device: 1, inode: '18446744073709551616' },
    { device: 1, inode: '0x2' },
    { device: 1, inode: 2, birthTime: 'yesterday' },
    { device: 1, inode: 2, generation: {} },
    { device: 1, inode: 2, fileSystem: '/' },
    { device: 1, inode: 2, handle: '12' },
    { device: 1, inode: 2, blockDevice: -1 },
  ]) {
    t.equal(identityFromJson(json), undefined, JSON.stringify(json));
  }
});

t.test('an identity is told in a few words', async (t) => {
  t.equal(describeIdentity(REGULAR), 'inode 12 on 254:0, born 2026-09-21T14:13:20.123456789Z');
  t.equal(describeIdentity({ ...REGULAR, birthTime: null }), 'inode 12 on 254:0');
  t.equal(describeIdentity(DISK), 'block device 8:16');
  t.same(describeApart(REGULAR, { ...REGULAR, inode: 13n }), {
    found: describeIdentity(REGULAR),
    meant: 'inode 13 on 254:0, born 2026-09-21T14:13:20.123456789Z',
  });
  t.match(describeApart(REGULAR, { ...REGULAR, handle: null }), {
    found: / handle 1:0c00000007000000, generation 7, /,
    meant: / handle unknown, generation 7, /,
  });
});

t.test('device numbers are put together as they are taken apart', async (t) => {
  for (const [major, minor] of [
    [0, 0],
    [8, 17],
    [259, 300],
    [0xfffff, 0xffffffff],
    [0xffffffff, 0x12345],
  ] as const) {
    t.same(blockDeviceOf(makeDevice({ major, minor })), { major, minor });
  }
  const { dev } = statSync('/dev/null', { bigint: true });
  t.equal(makeDevice(blockDeviceOf(dev)), dev);
});
