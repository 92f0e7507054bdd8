import { randomFillSync } from 'node:crypto';
import { Duplex } from 'node:stream';
import t from 'tap';
import { PieceSender, Pieces } from '../../../server/stream/piece-sender.js';

/** A stream that holds on to each write until it is told to be done with it. */
class SlowStream extends Duplex {
  readonly written: Buffer[] = [];
  #done: ((error?: Error) => void) | undefined;

  override _read(): void {}

  override _write(bytes: Buffer, _encoding: BufferEncoding, done: (error?: Error) => void): void {
    this.written.push(Buffer.from(bytes));
    this.#done = done;
  }

  /** Ends the write under way. False when there is none. */
  async release(error?: Error): Promise<boolean> {
    const done = this.#done;
    this.#done = undefined;
    done?.(error);
    await new Promise(setImmediate);
    return done !== undefined;
  }
}

/** Hands out pieces, and counts. */
class CountedPieces extends Pieces {
  readonly seen = new Set<Buffer>();
  out = 0;

  override take(): Buffer {
    const piece = super.take();
    this.seen.add(piece);
    this.out++;
    return piece;
  }

  override give(piece: Buffer): void {
    this.out--;
    super.give(piece);
  }
}

const setUp = () => {
  const stream = new SlowStream();
  const pieces = new CountedPieces();
  const told = { taken: 0 };
  const sender = new PieceSender(pieces, stream, () => {
    told.taken++;
  });
  return { stream, pieces, told, sender };
};

t.test('what is sent arrives in order, a piece at a time, whatever becomes of its memory', async (t) => {
  const { stream, pieces, told, sender } = setUp();
  const sent: Buffer[] = [];
  for (const length of [1, 200_000, 65_536, 65_537]) {
    const bytes = randomFillSync(Buffer.alloc(length));
    sent.push(Buffer.from(bytes));
    sender.send(bytes);
    bytes.fill(0);
  }
  t.equal(stream.written.length, 1);
  t.equal(told.taken, 0);
  while (await stream.release());
  t.ok(Buffer.concat(stream.written).equals(Buffer.concat(sent)));
  t.ok(stream.written.every((bytes) => bytes.length <= 65_536));
  t.equal(told.taken, 1);
  t.equal(pieces.out, 0);
});

t.test('memory is used again, and none that is still being sent', async (t) => {
  const { stream, pieces, told, sender } = setUp();
  for (let round = 0; round < 100; round++) {
    sender.send(Buffer.alloc(100_000, round));
    while (await stream.release());
  }
  t.equal(told.taken, 100);
  t.equal(pieces.seen.size, 2);
  sender.send(Buffer.alloc(65_536, 1));
  const inUse = pieces.take();
  sender.send(Buffer.alloc(65_536, 2));
  t.ok(inUse.every((byte) => byte !== 1));
  while (await stream.release());
  t.equal(stream.written.at(-2)?.[0], 1);
  t.equal(stream.written.at(-1)?.[0], 2);
});

t.test('what is kept for later is bounded', async (t) => {
  const { stream, pieces, sender } = setUp();
  sender.send(Buffer.alloc(100 * 65_536));
  while (await stream.release());
  const before = pieces.seen.size;
  t.equal(before, 100);
  for (let n = 0; n < 100; n++) pieces.take();
  t.equal(pieces.seen.size, before + 36);
});

t.test('the end waits for all that was sent', async (t) => {
  const { stream, told, sender } = setUp();
  sender.send(Buffer.alloc(100_000));
  sender.end();
  await stream.release();
  t.notOk(stream.writableEnded);
  await stream.release();
  t.ok(stream.writableFinished);
  t.ok(stream.destroyed);
  t.equal(told.taken, 0);
});

t.test('with nothing under way it ends at once', async (t) => {
  const { stream, sender } = setUp();
  sender.end();
  await stream.release();
  t.ok(stream.destroyed);
});

t.test('a stream that breaks gets nothing more, and what it had is not used again', async (t) => {
  const { stream, pieces, told, sender } = setUp();
  const errors: Error[] = [];
  stream.on('error', (error) => errors.push(error));
  sender.send(Buffer.alloc(200_000));
  await stream.release(new Error('reset'));
  t.equal(stream.written.length, 1);
  t.equal(told.taken, 0);
  t.equal(pieces.out, 4);
  t.match(errors, [{ message: 'reset' }]);
  sender.send(Buffer.alloc(1));
  await new Promise(setImmediate);
  t.equal(stream.written.length, 1);
  t.equal(told.taken, 0);
});
