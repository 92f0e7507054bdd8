import { closeSync, openSync, readFileSync } from 'node:fs';
import t from 'tap';
import { mapShared, unmap, wordsOf } from '../../../../driver/io/mapped.js';
import { FlushState, makeFlushState } from '../../../../driver/store/delta/flush-state.js';
import { BITMAP_OFFSET, BITMAP_PAGE } from '../../../../driver/store/delta/header.js';
import { Top } from '../../../../driver/store/delta/top.js';
import { makeSparseFile, TempDir } from '../../../helpers/temp.js';

t.test('a bit that is seen and not counted yet, since its thread was interrupted, is flushed', async (t) => {
  using dir = new TempDir();
  const path = makeSparseFile(dir.file('delta'), 1 << 20);
  const fd = openSync(path, 'r+');
  const bytes = 2 * BITMAP_PAGE;
  const [present, durable] = [mapShared(-1, bytes), mapShared(-1, bytes)];
  t.teardown(() => {
    unmap(present);
    unmap(durable);
    closeSync(fd);
  });
  const flushState = makeFlushState(bytes, { isUnknown: false });
  const sizes = { blockSize: 4096, size: 1 << 20, dataOffset: 1 << 20 };
  const shared = { present, durable, claims: new SharedArrayBuffer(bytes), flushState };
  const top = new Top({ fd, tellsHoles: false, ...sizes, ...shared });
  const onDisk = (): number => readFileSync(path).readUInt32LE(BITMAP_OFFSET + BITMAP_PAGE);
  const state = new FlushState(flushState);
  const word = BITMAP_PAGE / 4;

  state.beginSetting();
  wordsOf(present)[word] = 4;
  t.ok(top.holds(BITMAP_PAGE * 8 + 2), 'another thread writes into its block');
  t.notOk(top.isDurable);
  t.equal(top.flush(), 0);
  t.equal(onDisk(), 4);

  state.noteSet(1, 1);
  t.notOk(top.isDurable, 'counted afterwards, it is written once more');
  t.equal(top.flush(), 0);
  t.ok(top.isDurable);
  t.equal(onDisk(), 4);
});
