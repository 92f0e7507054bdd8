import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { closeSync, ftruncateSync, openSync, writeFileSync, writeSync } from 'node:fs';
import t from 'tap';
import { lockDescriptor } from '../../../../driver/io/file-lock.js';
import { fileBytesOf } from '../../../../driver/store/delta/delta-file.js';
import { examineDelta, mapDelta } from '../../../../driver/store/delta/examine.js';
import {
  type DeltaHeader,
  encodeHeader,
  HEADER_PLACES,
  layoutFor,
} from '../../../../driver/store/delta/header.js';
import { TempDir } from '../../../helpers/temp.js';

const SIZE = 1 << 20;

function deltaOn(base: DeltaHeader['base']): Buffer {
  const header: DeltaHeader = {
    ...{ sequence: 1, session: 1, uuid: randomUUID(), blockSize: 4096, virtualSize: SIZE },
    ...{ isClean: true, isSealed: false, isCommitting: false, ...layoutFor(SIZE, 4096), base },
  };
  const bytes = Buffer.alloc(fileBytesOf(header));
  for (const place of HEADER_PLACES) encodeHeader(header).copy(bytes, place);
  return bytes;
}

t.test(
  'a base that is there and fails to be read is a fault of the chain, not an error of the look',
  async (t) => {
    using dir = new TempDir();
    const path = dir.file('top.delta');
    // A regular file by its mode whose first page can't be read: EIO.
    const base = { kind: 'delta', path: '/proc/self/mem', size: SIZE, mtime: 0n, inode: 1n } as const;
    writeFileSync(path, deltaOn({ ...base, birthTime: null, fileSystem: null, uuid: randomUUID() }));
    const { chain, faults } = await examineDelta(path);
    t.strictSame(chain, ['/proc/self/mem']);
    t.strictSame(faults, [`the base /proc/self/mem of ${path} can't be read (EIO)`]);
  },
);

const RAW: DeltaHeader['base'] = {
  ...{ kind: 'raw', path: '/dev/null', size: SIZE, mtime: 0n, inode: 1n, birthTime: null },
  ...{ fileSystem: null, uuid: null },
};

t.test('what is no delta is said to be none, whatever it is, and nobody waits for it', async (t) => {
  using dir = new TempDir();
  spawnSync('mkfifo', [dir.file('fifo')]);
  const delta = deltaOn(RAW);
  writeFileSync(dir.file('head'), delta.subarray(0, 5000));
  writeFileSync(dir.file('short'), delta.subarray(0, 8192 + 1));
  writeFileSync(dir.file('empty'), '');
  const cases: readonly (readonly [path: string, check: RegExp, map: RegExp])[] = [
    [dir.file('fifo'), /no regular file/, /ESPIPE/],
    [dir.path, /no regular file/, /EISDIR/],
    ['/dev/zero', /no regular file/, /no header/],
    ['/dev/null', /no regular file/, /no header/],
    [dir.file('empty'), /is cut short/, /no header/],
    [dir.file('head'), /the header at 4096 is cut short; the one at 0 counts/, /^0$/],
    [dir.file('short'), /the file is cut short: 8193 bytes/, /^32$/],
  ];
  for (const [path, check, map] of cases) {
    t.match((await examineDelta(path)).faults.join('\n'), check, path);
    t.match(await mappedBlocks(path), map, path);
  }
});

/** How many blocks the map of a delta tells of, or why there is none. */
async function mappedBlocks(path: string): Promise<string> {
  let bytes = 0;
  try {
    for await (const runs of mapDelta(path)) for (const { length } of runs) bytes += length;
  } catch (error) {
    return String(error);
  }
  return String(bytes / 4096);
}

t.test('a delta of 8 TiB with holes everywhere is looked at in little memory', async (t) => {
  using dir = new TempDir();
  const path = dir.file('large');
  const virtualSize = 2 ** 43;
  const header: DeltaHeader = {
    ...{ sequence: 1, session: 1, uuid: randomUUID(), blockSize: 4096, virtualSize },
    ...{ isClean: true, isSealed: false, isCommitting: false, ...layoutFor(virtualSize, 4096), base: RAW },
  };
  const fd = openSync(path, 'w');
  for (const place of HEADER_PLACES) writeSync(fd, encodeHeader(header), 0, 4096, place);
  // Every other block of 2 GiB somewhere in it.
  const dense = Buffer.alloc(64 << 10, 0x55);
  writeSync(fd, dense, 0, dense.length, 8192 + (100 << 20));
  ftruncateSync(fd, fileBytesOf(header));
  closeSync(fd);
  const before = process.resourceUsage().maxRSS;
  t.equal((await examineDelta(path)).heldBlocks, dense.length * 4);
  let [runs, end] = [0, 0];
  for await (const part of mapDelta(path)) {
    for (const { offset, length } of part) {
      if (offset !== end) t.fail(`a run begins at ${offset}, and not at ${end}`);
      end += length;
    }
    runs += part.length;
  }
  t.equal(end, virtualSize);
  t.equal(runs, 2 * dense.length * 4 + 1);
  const grown = process.resourceUsage().maxRSS - before;
  t.ok(grown < 200 << 10, `memory grew by ${grown} KiB; its bitmap has 262144`);
});

t.test('of a delta that is locked it is said that a daemon has it', async (t) => {
  using dir = new TempDir();
  const path = dir.file('top.delta');
  writeFileSync(path, deltaOn(RAW));
  const fd = openSync(path, 'r+');
  t.equal(lockDescriptor(fd), 0);
  t.match((await examineDelta(path)).notes, ['a daemon writes it at this moment']);
  closeSync(fd);
  t.strictSame((await examineDelta(path)).notes, []);
});
