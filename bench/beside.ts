/**
 * What a client of 4 KiB requests waits beside others that take long: `npm run bench:beside`, on an idle machine. The client is a
 * process of its own: one request at a time, reads and writes in turns, 2 ms apart.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { Cmd, CmdFlag } from '../server/wire/constants.js';
import { Daemon } from '../test/helpers/daemon.js';
import { Freezable } from '../test/helpers/freezable.js';
import { MixedSession } from '../test/helpers/mixed-session.js';
import { runOk } from '../test/helpers/process.js';
import { makeSparseFile, TempDir } from '../test/helpers/temp.js';
import { tool } from '../test/helpers/tools.js';

const MIB = 1 << 20;
const GIB = 1 << 30;
const BLOCK = 4096;
const SECONDS = 6;
const LIMIT_MS = 5;
/** Where the client reads and writes: nobody else does. */
const AREA = 8 * GIB;
const AREA_BYTES = 64 * MIB;

/** The client's process: latencies in milliseconds, until it is told to end. */
async function client(socket: string, name: string): Promise<void> {
  await using session = await MixedSession.open(socket, { mode: 'structured', name });
  const payload = Buffer.alloc(BLOCK, 5);
  const latencies: number[] = [];
  let isOver = false;
  process.once('message', () => {
    isOver = true;
  });
  process.send?.('begun');
  for (let i = 0; !isOver; i++) {
    const offset = AREA + ((i * 7919 * BLOCK) % AREA_BYTES);
    const began = performance.now();
    await session.ask(
      i % 2 === 0 ? { type: Cmd.READ, offset, length: BLOCK } : { type: Cmd.WRITE, offset, payload },
    );
    latencies.push(performance.now() - began);
    await sleep(2);
  }
  process.send?.(latencies, undefined, undefined, () => process.disconnect());
}

/** Of what is sorted. */
const percentile = (sorted: readonly number[], share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;

interface Row {
  readonly beside: string;
  readonly requests: number;
  readonly p50: number;
  readonly p99: number;
  readonly most: number;
}

/** Latencies of the client on loop0 while `load` is under way. */
async function measured(daemon: Daemon, beside: string, load: () => Promise<void>): Promise<Row> {
  const child = fork(new URL(import.meta.url), ['client', daemon.socket, 'loop0'], {
    serialization: 'advanced',
  });
  await once(child, 'message');
  await load();
  const answer = once(child, 'message') as Promise<[number[]]>;
  child.send('end');
  const [latencies] = await answer;
  const sorted = latencies.sort((a, b) => a - b);
  return {
    beside,
    requests: sorted.length,
    p50: percentile(sorted, 0.5),
    p99: percentile(sorted, 0.99),
    most: sorted.at(-1) ?? Number.NaN,
  };
}

/** Data in which every other block is a hole, as a guest that trims leaves it. */
function fragment(file: string, bytes: number): void {
  const fd = openSync(file, 'r+');
  const block = Buffer.alloc(BLOCK, 3);
  for (let at = 0; at < bytes; at += 2 * BLOCK) writeSync(fd, block, 0, BLOCK, at);
  fsyncSync(fd);
  closeSync(fd);
}

interface Change {
  readonly type: number;
  readonly flags?: number;
  /** Bytes of a request, and of all of them. */
  readonly length: number;
  readonly total: number;
  readonly depth: number;
}

/** Changes ranges of a device, again and again until enough time is over, or `once`. */
async function change(
  daemon: Daemon,
  name: string,
  { type, flags = 0, length, total, depth }: Change,
  once: boolean,
): Promise<void> {
  await using session = await MixedSession.open(daemon.socket, { mode: 'extended', name });
  const began = performance.now();
  let next = 0;
  let done = 0;
  const isOver = (): boolean => (once ? next >= total : performance.now() - began > SECONDS * 1000);
  const worker = async (): Promise<void> => {
    while (!isOver()) {
      const offset = next % total;
      next += length;
      const { error } = await session.ask({ type, flags, offset, length });
      if (error !== 0) throw new Error(`error ${error}`);
      done += length;
    }
  };
  await Promise.all(Array.from({ length: depth }, worker));
  process.stderr.write(`  ${done / MIB} MiB in ${((performance.now() - began) / 1000).toFixed(2)} s\n`);
}

async function main(): Promise<void> {
  using files = new TempDir();
  const image = makeSparseFile(files.file('a.img'), AREA + AREA_BYTES);
  await using daemon = await Daemon.start({ devices: [image] });
  const rows: Row[] = [];
  const row = async (beside: string, load: () => Promise<void>): Promise<void> => {
    process.stderr.write(`${beside}\n`);
    rows.push(await measured(daemon, beside, load));
  };
  await row('nothing', () => sleep(SECONDS * 1000));
  const zero = { type: Cmd.WRITE_ZEROES, length: 4 * GIB, total: 4 * GIB, depth: 1 };
  await row('zeroes of 4 GiB, as a hole', () => change(daemon, 'loop0', zero, false));
  await row('zeroes of 4 GiB that stay allocated', () =>
    change(daemon, 'loop0', { ...zero, flags: CmdFlag.NO_HOLE }, false),
  );
  fragment(image, 64 * MIB);
  const trim = { type: Cmd.TRIM, length: 32 * MIB, total: 64 * MIB, depth: 8 };
  await row('TRIMs of 32 MiB, 8 at a time, of a file in pieces of 4 KiB', () =>
    change(daemon, 'loop0', trim, true),
  );
  {
    using directory = new TempDir();
    await runOk(tool('mount'), ['-t', 'ramfs', 'ramfs', directory.path]);
    try {
      const { name, number } = await daemon.client.find({
        file: makeSparseFile(directory.file('c.img'), GIB),
      });
      const written = { type: Cmd.WRITE_ZEROES, length: GIB, total: GIB, depth: 1 };
      await row('zeroes of 1 GiB that are written', () => change(daemon, name, written, false));
      await daemon.client.clear(number);
    } finally {
      await runOk(tool('umount'), [directory.path]);
    }
  }
  {
    await using frozen = await Freezable.make();
    const { name } = await daemon.client.find({ file: frozen.file });
    await using neighbour = await MixedSession.open(daemon.socket, { mode: 'structured', name });
    await frozen.hang();
    const asked = neighbour.ask({ type: Cmd.WRITE, offset: 0, payload: Buffer.alloc(MIB) });
    await row('a device on a file system that is frozen', () => sleep(SECONDS * 1000));
    await frozen.goOn();
    await asked;
  }
  await row('100 control operations a second', async () => {
    for (let i = 0; i < SECONDS * 100; i++) {
      await Promise.all([daemon.client.directIo(0, i % 2 === 0), sleep(10)]);
    }
  });
  await row('100 binds and clears a second', async () => {
    const other = makeSparseFile(files.file('b.img'), MIB);
    for (let i = 0; i < SECONDS * 50; i++) {
      const [{ number }] = await Promise.all([daemon.client.find({ file: other }), sleep(10)]);
      await Promise.all([daemon.client.clear(number), sleep(10)]);
    }
  });
  const text = rows.map(
    ({ beside, requests, p50, p99, most }) =>
      `| ${beside} | ${requests} | ${p50.toFixed(2)} | ${p99.toFixed(2)} | ${most.toFixed(1)} |`,
  );
  process.stdout.write(
    `| beside | requests | p50 ms | p99 ms | longest ms |\n| --- | --- | --- | --- | --- |\n${text.join('\n')}\n`,
  );
  const late = rows.filter(({ p99 }) => !(p99 < LIMIT_MS));
  for (const { beside } of late) process.stdout.write(`p99 beside ${beside} is not under ${LIMIT_MS} ms\n`);
  process.exitCode = late.length > 0 ? 1 : 0;
}

const [what, socket, name] = process.argv.slice(2);
if (what === 'client' && socket !== undefined && name !== undefined) await client(socket, name);
else await main();
