/** Disks that really fail under the server: each request is told its errno, and the connection goes on. */
import { closeSync, constants, readFileSync } from 'node:fs';
import t from 'tap';
import type { ReplyMode } from '../../server/negotiation/outcome.js';
import { Cmd, CmdFlag, WireErrno } from '../../server/wire/constants.js';
import { FullDisk, HalfDisk, skipWithoutFailingDisks } from '../helpers/failing-disks.js';
import { KernelLoop } from '../helpers/kernel-loop.js';
import { type BlockClient, ReactorBench } from '../helpers/reactor-bench.js';
import type { Ask } from '../helpers/transmission-client.js';

const { READ, WRITE, FLUSH, TRIM, WRITE_ZEROES } = Cmd;
const { FUA, DF, NO_HOLE, FAST_ZERO } = CmdFlag;
const { EIO, ENOSPC, ENOTSUP } = WireErrno;
const KIB = 1024;
const MIB = 1 << 20;
const BLOCK = 4096;
const SIZE = 16 * MIB;
const HALF = SIZE / 2;
const MODES = ['simple', 'structured', 'extended'] as const;

t.setTimeout(120_000);
const skip = skipWithoutFailingDisks();

/** A connection to a device over this file or disk. */
async function connect(path: string, mode: ReplyMode, isDirect = false) {
  const bench = await ReactorBench.start();
  const device = await bench.device(SIZE);
  const fd = await device.rebind(constants.O_RDWR | (isDirect ? constants.O_DIRECT : 0), path);
  const client = await bench.connect(device, { mode });
  const end = async (): Promise<void> => {
    await bench[Symbol.asyncDispose]();
    closeSync(fd);
  };
  return { client, [Symbol.asyncDispose]: end };
}

/** By copy; through a pipe; more than one batch of pages; as much as one piece; several pieces. */
const LENGTHS = [BLOCK, 64 * KIB, 300 * KIB, MIB, 3 * MIB];

/** Offsets of ranges that lie before the place where the disk fails, across it, and behind it. */
const around = (length: number): number[] => [
  0,
  HALF - length,
  HALF - BLOCK,
  HALF - length + BLOCK,
  HALF,
  SIZE - length,
];

/** READs, in the order in which they are sent. */
const readsOf = (flags: number): Ask[] =>
  LENGTHS.flatMap((length) => around(length).map((offset) => ({ type: READ, flags, offset, length })));

for (const mode of MODES) {
  for (const isDirect of [false, true]) {
    const how = `${mode}${isDirect ? ', direct' : ''}`;

    t.test(`${how}: a disk that cannot be read from its middle on`, { skip }, async (t) => {
      await using disk = await HalfDisk.make(SIZE);
      await using connection = await connect(disk.path, mode, isDirect);
      const { client } = connection;
      const content = readFileSync(disk.file);
      for (const ask of mode === 'simple' ? readsOf(0) : [...readsOf(0), ...readsOf(DF)]) {
        const [from, to] = [Number(ask.offset), Number(ask.offset) + Number(ask.length)];
        const title = `flags ${ask.flags}, ${from} to ${to}`;
        const { error, data } = await client.ask(ask);
        t.equal(error, to > HALF ? EIO : 0, title);
        if (to <= HALF) t.ok(data?.equals(content.subarray(from, to)), title);
      }
    });

    t.test(`${how}: many READs at once, half of which fail`, { skip }, async (t) => {
      await using disk = await HalfDisk.make(SIZE);
      await using connection = await connect(disk.path, mode, isDirect);
      const { client } = connection;
      const content = readFileSync(disk.file);
      // The second time what can be read is in the page cache.
      for (const time of [1, 2]) {
        const asks = Array.from({ length: 64 }, (_, index) => ({
          type: READ,
          cookie: BigInt(index),
          offset: (index % 2) * HALF + index * 3 * BLOCK,
          length: BLOCK,
        }));
        client.send(...asks);
        const replies = await client.replies(asks.length);
        const wrong = replies.filter(({ cookie, error, data }) => {
          const { offset = 0, length = 0 } = asks[Number(cookie)] ?? {};
          if (offset >= HALF) return error !== EIO;
          return error !== 0 || !data?.equals(content.subarray(offset, offset + length));
        });
        t.strictSame(wrong, [], `time ${time}`);
      }
    });
  }

  t.test(`${mode}: a WRITE of parts of blocks that cannot be read`, { skip }, async (t) => {
    await using disk = await HalfDisk.make(SIZE);
    await using connection = await connect(disk.path, mode);
    const { client } = connection;
    for (const length of [100, 70_000, 3 * MIB + 100]) {
      for (const flags of [0, FUA]) {
        const title = `${length} bytes, flags ${flags}`;
        t.equal((await write(client, HALF + 100, length, flags)).error, EIO, title);
        t.equal(
          (await write(client, HALF - length - 5, length, flags)).error,
          0,
          `${title}, where it can be`,
        );
      }
    }
    t.equal((await client.ask({ type: FLUSH })).error, 0, 'what failed was not kept');
  });

  t.test(`${mode}: a file system that is full`, { skip }, async (t) => {
    await using disk = await FullDisk.make(4 * MIB, SIZE);
    await using connection = await connect(disk.file, mode);
    const { client } = connection;
    t.equal((await write(client, 0, 3 * MIB)).error, 0);
    t.equal((await write(client, 6 * MIB, 2 * MIB)).error, ENOSPC, 'half of it has room');
    for (const length of [100, BLOCK, 64 * KIB, 300 * KIB, 2 * MIB]) {
      for (const flags of [0, FUA]) {
        t.equal((await write(client, 9 * MIB, length, flags)).error, ENOSPC, `${length}, flags ${flags}`);
        t.equal((await write(client, 0, length, flags)).error, 0, `${length} where there are blocks`);
      }
    }
    const range = { type: WRITE_ZEROES, offset: 12 * MIB, length: MIB };
    t.equal((await client.ask(range)).error, 0, 'a hole needs no room');
    t.equal((await client.ask({ ...range, flags: NO_HOLE })).error, ENOSPC);
    const fast = (await client.ask({ ...range, flags: NO_HOLE | FAST_ZERO })).error;
    t.ok(fast === ENOSPC || fast === ENOTSUP, `${fast}`);
    t.equal((await client.ask({ type: FLUSH })).error, 0);
    t.equal((await client.ask({ type: TRIM, offset: MIB, length: MIB })).error, 0);
    t.equal((await write(client, 9 * MIB, MIB / 2)).error, 0, 'there is room again');
    const content = readFileSync(disk.file);
    t.ok(content.subarray(9 * MIB, 9 * MIB + MIB / 2).equals(payload(MIB / 2)));
    t.ok(
      content.subarray(10 * MIB).equals(Buffer.alloc(SIZE - 10 * MIB)),
      'nothing of what was refused is there',
    );
  });

  t.test(`${mode}: a WRITE for one block of which there is no room`, { skip }, async (t) => {
    await using disk = await FullDisk.make(4 * MIB, SIZE);
    await using connection = await connect(disk.file, mode);
    const { client } = connection;
    t.equal((await write(client, 0, MIB)).error, 0);
    t.equal((await write(client, MIB + BLOCK, 2 * MIB)).error, 0);
    t.equal((await write(client, 8 * MIB, 4 * MIB)).error, ENOSPC, 'now it is full');
    const other = Buffer.alloc(3 * MIB + BLOCK, 8);
    t.equal((await client.ask({ type: WRITE, offset: 0, payload: other })).error, ENOSPC);
    const content = readFileSync(disk.file);
    t.ok(content.subarray(0, MIB).equals(other.subarray(0, MIB)), 'it was done up to there');
    t.ok(content.subarray(2 * MIB, 3 * MIB).equals(payload(MIB)), 'and no further');
  });

  for (const isDirect of [false, true]) {
    const how = `${mode}${isDirect ? ', direct' : ''}`;
    t.test(`${how}: a disk that cannot keep what it is given`, { skip }, async (t) => {
      await using full = await FullDisk.make(4 * MIB, SIZE);
      await using loop = await KernelLoop.attach(full.file);
      await using connection = await connect(loop.path, mode, isDirect);
      const { client } = connection;
      const flush = async (): Promise<number> => (await client.ask({ type: FLUSH })).error;
      t.equal((await write(client, 0, 3 * MIB)).error, 0);
      t.equal(await flush(), 0);
      for (const length of [BLOCK, 64 * KIB, 2 * MIB]) {
        const title = `${length} bytes`;
        const { error } = await write(client, 6 * MIB, length);
        if (!isDirect) t.equal(error, 0, `${title} are in the page cache`);
        else if (length > MIB) t.ok(isRefusal(error), `${title} are refused`);
        else t.equal(error, 0, `${title} have room`);
      }
      t.equal(await flush(), isDirect ? 0 : EIO, 'a flush tells what came of the page cache');
      t.equal(await flush(), 0, 'once');
      t.ok(isRefusal((await write(client, 12 * MIB, 64 * KIB, FUA)).error), 'FUA tells it at once');
      t.equal((await write(client, 0, 64 * KIB, FUA)).error, 0, 'what has its blocks goes on');
      const { data } = await client.ask({ type: READ, offset: 0, length: 64 * KIB });
      t.ok(data?.equals(payload(64 * KIB)));
    });
  }
}

/** A loop device's file that is full: some kernels say so, others that I/O failed. */
const isRefusal = (error: number): boolean => error === ENOSPC || error === EIO;

const payload = (length: number): Buffer => Buffer.alloc(length, 7);

const write = (client: BlockClient, offset: number, length: number, flags = 0) =>
  client.ask({ type: WRITE, flags, offset, payload: payload(length) });
