import { randomBytes } from 'node:crypto';
import { readFileSync, truncateSync } from 'node:fs';
import { constants } from 'node:os';
import t from 'tap';
import { Cmd, CmdFlag, WireErrno } from '../../../server/wire/constants.js';
import { setFaults } from '../../helpers/faulty-data-path.js';
import { DIRECT_BLOCK, ReactorBench } from '../../helpers/reactor-bench.js';
import type { Ask } from '../../helpers/transmission-client.js';

const { READ, WRITE, FLUSH, TRIM, CACHE, WRITE_ZEROES, BLOCK_STATUS } = Cmd;
const MIB = 1 << 20;
const MODES = ['simple', 'structured', 'extended'] as const;

t.setTimeout(120_000);

/** By copy; through a pipe; from the middle of a page; more than a pipe holds; as large as it may be. */
const LENGTHS = [512, 4096, 65_536, 65_537, 300_001, MIB - 4096, MIB, MIB + 1, 3 * MIB];

for (const transport of ['unix', 'tcp'] as const) {
  for (const mode of MODES) {
    t.test(`${transport}, ${mode}: reads of any size from any place bring the file's bytes`, async (t) => {
      await using bench = await ReactorBench.start({ transport });
      const device = await bench.device(8 * MIB);
      const content = readFileSync(device.path);
      const client = await bench.connect(device, { mode });
      const asks = LENGTHS.flatMap((length) =>
        [0, 777, 4096, 8 * MIB - length].map((offset) => ({
          type: READ,
          cookie: BigInt(offset),
          offset,
          length,
        })),
      );
      client.send(...asks);
      const replies = await client.replies(asks.length);
      const wrong = asks.filter(
        ({ offset, length }, index) =>
          !replies[index]?.data?.equals(content.subarray(offset, offset + length)),
      );
      t.strictSame(wrong, []);
    });
  }
}

for (const mode of MODES) {
  t.test(`${mode}: what is written through one connection is read through another`, async (t) => {
    await using bench = await ReactorBench.start({ reactors: 2 });
    const device = await bench.device(8 * MIB);
    const [writer, reader] = [await bench.connect(device, { mode }), await bench.connect(device, { mode })];
    for (const length of [512, 65_536, 100_001, 3 * MIB]) {
      const payload = randomBytes(length);
      t.equal((await writer.ask({ type: WRITE, offset: 12_345, payload })).error, 0);
      const { data } = await reader.ask({ type: READ, offset: 12_345, length });
      t.ok(data?.equals(payload), `${length} bytes`);
      t.ok(
        readFileSync(device.path)
          .subarray(12_345, 12_345 + length)
          .equals(payload),
        'and from the file',
      );
    }
  });

  for (const isDirect of [false, true]) {
    const how = isDirect ? ', direct' : '';
    t.test(
      `${mode}${how}: a file that shrank reads as zeroes in every path, and the connection goes on`,
      async (t) => {
        await using bench = await ReactorBench.start();
        const device = await bench.device(4 * MIB, { isDirect });
        const place = (bytes: number): number => bytes - (isDirect ? bytes % DIRECT_BLOCK : 0);
        const content = readFileSync(device.path);
        const client = await bench.connect(device, { mode });
        for (const left of [2 * MIB + 100, MIB, 5000, 0]) {
          truncateSync(device.path, left);
          content.fill(0, left);
          for (const flags of mode === 'simple' ? [0] : [0, CmdFlag.DF]) {
            for (const length of [4096, 65_536, place(500_000), MIB, 2 * MIB + 4096]) {
              const last = 4 * MIB - length;
              for (const offset of [0, Math.min(last, place(Math.max(0, left - 3000))), last]) {
                const { data } = await client.ask({ type: READ, flags, offset, length });
                if (!data?.equals(content.subarray(offset, offset + length))) {
                  t.fail('other bytes', { left, flags, length, offset });
                }
              }
            }
          }
        }
      },
    );
  }

  t.test(`${mode}: an error of the file is told in every path, and the connection goes on`, async (t) => {
    await using bench = await ReactorBench.start({ dataPath: './faulty-data-path.js' });
    const device = await bench.device(4 * MIB);
    const content = readFileSync(device.path);
    const client = await bench.connect(device, { mode });
    const range = { offset: 0, length: MIB };
    const requests: Ask[] = [
      { type: READ, offset: 0, length: 4096 },
      { type: READ, ...range },
      { type: READ, offset: 0, length: 3 * MIB },
      { type: WRITE, offset: 0, payload: content.subarray(0, 4096) },
      { type: WRITE, offset: 0, payload: content.subarray(0, 2 * MIB) },
      { type: FLUSH },
      { type: TRIM, ...range },
      { type: WRITE_ZEROES, ...range },
      { type: CACHE, ...range },
    ];
    for (const [errno, wire] of [
      [constants.errno.EIO, WireErrno.EIO],
      [constants.errno.ENOSPC, WireErrno.ENOSPC],
    ] as const) {
      const { shared } = device.queue;
      setFaults(
        shared,
        errno,
        ...(['read', 'fillPipe', 'write', 'writeFromPipe', 'flush', 'trim', 'writeZeroes', 'cache'] as const),
      );
      client.send(...requests);
      const replies = await client.replies(requests.length);
      t.strictSame(new Set(replies.map(({ error }) => error)), new Set([wire]));
      setFaults(shared, 0);
      const { data } = await client.ask({ type: READ, ...range });
      t.ok(data?.equals(content.subarray(0, MIB)), 'nothing was changed, and the connection goes on');
    }
  });
}

for (const mode of ['structured', 'extended'] as const) {
  t.test(`${mode}: holes of a real file are named and mapped`, async (t) => {
    await using bench = await ReactorBench.start();
    const device = await bench.device(4 * MIB);
    const content = readFileSync(device.path);
    const client = await bench.connect(device, { mode });
    t.equal((await client.ask({ type: TRIM, offset: MIB, length: MIB })).error, 0);
    content.fill(0, MIB, 2 * MIB);
    const { data, shape } = await client.ask({ type: READ, offset: MIB / 2, length: 2 * MIB });
    t.ok(data?.equals(content.subarray(MIB / 2, 2.5 * MIB)));
    t.equal(shape, `data ${MIB / 2}, hole ${MIB}, data ${MIB / 2}`);
    const { extents } = await client.ask({ type: BLOCK_STATUS, offset: 0, length: 4 * MIB });
    t.strictSame(extents.get(1), [
      [BigInt(MIB), 0],
      [BigInt(MIB), 3],
      [BigInt(2 * MIB), 0],
    ]);
  });
}
