import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import t from 'tap';
import { fileBytesOf } from '../../../../driver/store/delta/delta-file.js';
import { examineDelta } from '../../../../driver/store/delta/examine.js';
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
