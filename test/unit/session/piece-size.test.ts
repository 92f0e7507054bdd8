import t from 'tap';
import { PieceSize } from '../../../server/session/piece-size.js';

const MIB = 1 << 20;

/** MiB of pieces, one after the other, where each takes what `milliseconds` says. */
function pieces(count: number, milliseconds: (mib: number, index: number) => number): number[] {
  const size = new PieceSize();
  return Array.from({ length: count }, (_, index) => {
    const mib = size.bytes / MIB;
    size.took(size.bytes, milliseconds(mib, index));
    return mib;
  });
}

t.test('a file system that is quick gets larger pieces', async (t) => {
  t.strictSame(
    pieces(7, (mib) => mib / 100),
    [1, 2, 4, 8, 16, 32, 32],
  );
});

t.test('about a millisecond is right', async (t) => {
  t.strictSame(
    pieces(5, (mib) => mib / 4),
    [1, 2, 2, 2, 2],
  );
});

t.test(
  'what takes long by its length gets smaller ones, also where the file is another one further on',
  async (t) => {
    t.strictSame(
      pieces(4, (mib) => mib * 4),
      [1, 1 / 2, 1 / 2, 1 / 2],
    );
    t.strictSame(
      pieces(6, (mib) => mib * 400),
      [1, 1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 16],
    );
    t.strictSame(pieces(12, (mib, index) => (index < 5 ? 0.1 : mib * 4)).slice(5), [
      32,
      16,
      8,
      4,
      2,
      1,
      1 / 2,
    ]);
  },
);

t.test('what takes long whatever its length gets the largest', async (t) => {
  t.strictSame(
    pieces(8, () => 5000),
    [1, 1 / 2, 1, 2, 4, 8, 16, 32],
  );
  t.strictSame(pieces(9, (_, index) => (index < 4 ? 0.1 : 50)).slice(4), [16, 8, 16, 32, 32]);
});

t.test('the rest of a range says nothing', async (t) => {
  const size = new PieceSize();
  size.took(2 * MIB, 0.1);
  size.took(MIB, 5000);
  t.equal(size.bytes, 4 * MIB);
});
