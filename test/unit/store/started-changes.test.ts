/** TRIM and WRITE_ZEROES that are started, on real files. */

import { readFileSync, statSync } from 'node:fs';
import { constants } from 'node:os';
import t from 'tap';
import { FileStore } from '../../../driver/store/file-store.js';
import { Offload } from '../../../driver/store/offload.js';
import type { Errno, ZeroMode } from '../../../server/backend.js';
import { close } from '../../../server/system/sockets.js';
import { fileSystems, OpenFile } from '../../helpers/file-systems.js';
import { runOk } from '../../helpers/process.js';
import { complete, skipWithoutUring } from '../../helpers/rings.js';
import { makeRandomFile, TempDir } from '../../helpers/temp.js';
import { skipUnless, tool } from '../../helpers/tools.js';

const { EBADF } = constants.errno;
const MIB = 1 << 20;
const SIZE = 6 * MIB;
const skip = skipWithoutUring();

/** A store of a file of random data, with a ring of its own. */
class Bench implements Disposable {
  readonly offload: Offload;
  readonly store: FileStore;
  readonly zeroed = { value: 0, increment: () => void this.zeroed.value++ };

  constructor(fd: number, alignment = 1) {
    const offload = Offload.open();
    if (offload === undefined) throw new Error('no ring');
    this.offload = offload;
    const tools = { offload, batch: undefined, close: () => {} };
    this.store = new FileStore({ fd, alignment, tellsHoles: true }, tools, this.zeroed);
  }

  /** Piece by piece, as a session does it; the lengths of the pieces. */
  change(
    position: number,
    length: number,
    how?: ZeroMode,
  ): { readonly pieces: number[]; readonly errno: Errno } {
    const pieces: number[] = [];
    for (let done = 0; done < length; ) {
      const [at, left] = [position + done, length - done];
      const piece =
        how === undefined ? this.store.startTrim(3, at, left) : this.store.startZero(3, at, left, how);
      if (piece === 0) return { pieces, errno: -1 };
      pieces.push(piece);
      const errno = complete(this.offload, 1).get(3) ?? -1;
      if (errno !== 0) return { pieces, errno };
      done += piece;
    }
    return { pieces, errno: 0 };
  }

  [Symbol.dispose](): void {
    close(this.offload.fd);
  }
}

const HOWS = {
  trim: undefined,
  'zeroes as a hole': { punch: true, fast: false },
  'zeroes that stay allocated': { punch: false, fast: false },
} as const;

for (const [where, directory] of fileSystems()) {
  for (const [title, how] of Object.entries(HOWS)) {
    t.test(`${where}: ${title}`, { skip }, (t) => {
      using dir = new TempDir(directory);
      const path = makeRandomFile(dir.file('image'), SIZE);
      const expected = readFileSync(path);
      using file = OpenFile.open(path);
      using bench = new Bench(file.fd);
      const [position, length] = [MIB + 512, 3 * MIB + 1000];
      const { pieces, errno } = bench.change(position, length, how);
      if (how?.punch === false && where === 'memory') {
        // It takes two calls there.
        t.equal(errno === -1 ? bench.store.zero(position, length, how) : errno, 0);
      } else {
        t.strictSame({ pieces, errno }, { pieces: [length], errno: 0 });
        t.equal(bench.zeroed.value, 1, 'and other threads know');
      }
      expected.fill(0, position, position + length);
      t.ok(readFileSync(path).equals(expected));
      const isHole = statSync(path).blocks * 512 < SIZE - 2 * MIB;
      t.equal(isHole, how?.punch !== false, 'room is given back where it may be');
      t.end();
    });
  }
}

t.test(
  'where a file system can do neither, zeroes are written, a MiB at a time, and TRIM does nothing',
  {
    skip: skip || skipUnless('mount', 'umount'),
  },
  async (t) => {
    using dir = new TempDir();
    await runOk(tool('mount'), ['-t', 'ramfs', 'ramfs', dir.path]);
    try {
      const path = makeRandomFile(dir.file('image'), SIZE);
      const expected = readFileSync(path);
      using file = OpenFile.open(path);
      using bench = new Bench(file.fd);
      for (let again = 0; again < 2; again++)
        t.strictSame(bench.change(0, SIZE), { pieces: [SIZE], errno: 0 });
      t.ok(readFileSync(path).equals(expected));
      const how = { punch: true, fast: false };
      t.strictSame(bench.change(0, MIB, how), { pieces: [MIB], errno: 0 }, 'it is found out');
      t.strictSame(bench.change(MIB, 2 * MIB + 4096, how), { pieces: [MIB, MIB, 4096], errno: 0 });
      expected.fill(0, 0, 3 * MIB + 4096);
      t.ok(readFileSync(path).equals(expected));
      t.equal(
        bench.store.startZero(3, 0, MIB, { punch: true, fast: true }),
        0,
        'what must be fast is refused in place',
      );
    } finally {
      await runOk(tool('umount'), [dir.path]);
    }
  },
);

t.test('an error is told', { skip }, (t) => {
  using bench = new Bench(-1);
  t.strictSame(bench.change(0, MIB), { pieces: [MIB], errno: EBADF });
  t.strictSame(bench.change(0, MIB, { punch: true, fast: false }), { pieces: [MIB], errno: EBADF });
  t.end();
});
