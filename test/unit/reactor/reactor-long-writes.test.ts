/** Payloads that go from socket to page cache through a pipe, with real sockets and files. */
import { randomBytes } from 'node:crypto';
import { closeSync, constants, readFileSync } from 'node:fs';
import { constants as os } from 'node:os';
import t from 'tap';
import { LaneNum, laneNum } from '../../../driver/queue/slots.js';
import { Cmd, CmdFlag, WireErrno } from '../../../server/wire/constants.js';
import { setFaults } from '../../helpers/faulty-data-path.js';
import { openOfConnections, pipeEnds } from '../../helpers/open-files.js';
import { type BlockClient, ReactorBench, type TestDevice } from '../../helpers/reactor-bench.js';
import { type Ask, encodeAsk } from '../../helpers/transmission-client.js';
import { until } from '../../helpers/until.js';

const { READ, WRITE, WRITE_ZEROES } = Cmd;
const KIB = 1 << 10;
const MIB = 1 << 20;
const SIZE = 8 * MIB;
const MODES = ['simple', 'structured', 'extended'] as const;

t.setTimeout(120_000);

const written = ({ queue }: TestDevice): number =>
  new Float64Array(queue.shared)[laneNum(0) + LaneNum.WRITTEN_BYTES] ?? 0;

const soon = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A WRITE that is sent part by part: `send(to)` sends what is in front of byte `to` of its payload. */
function inParts(client: BlockClient, ask: Ask): (to: number) => Promise<void> {
  client.expect(ask);
  const bytes = encodeAsk(client.mode, ask);
  const header = bytes.length - (ask.payload?.length ?? 0);
  let sent = 0;
  return async (to) => {
    const part = bytes.subarray(sent, header + to);
    sent = header + to;
    await new Promise<void>((resolve) => client.socket.write(part, () => resolve()));
  };
}

/** A client whose last payload came through a pipe. */
async function warmClient(
  bench: ReactorBench,
  device: TestDevice,
  mode: BlockClient['mode'],
): Promise<BlockClient> {
  const client = await bench.connect(device, { mode });
  const content = readFileSync(device.path);
  const send = inParts(client, { type: WRITE, offset: 0, payload: content.subarray(0, 256 * KIB) });
  await send(0);
  await soon();
  await send(256 * KIB);
  await client.replies(1);
  return client;
}

for (const transport of ['unix', 'tcp'] as const) {
  for (const mode of MODES) {
    t.test(`${transport}, ${mode}: what was sent is in the file, wherever it was cut`, async (t) => {
      await using bench = await ReactorBench.start({ transport });
      const device = await bench.device(SIZE);
      const content = readFileSync(device.path);
      const client = await bench.connect(device, { mode });
      for (const length of [64 * KIB + 1, 100_001, 300_001, MIB, 3 * MIB + 5]) {
        for (const offset of [0, 12_345, SIZE - length]) {
          for (const step of [length, 50_000, 4096, 333_333]) {
            const payload = randomBytes(length);
            const send = inParts(client, { type: WRITE, offset, payload });
            for (let at = 0; at <= length; at += step) await send(at);
            await send(length);
            const [reply] = await client.replies(1);
            if (reply?.error !== 0) t.fail('an error', { length, offset, step, reply });
            payload.copy(content, offset);
          }
          if (!readFileSync(device.path).equals(content)) t.fail('other content', { length, offset });
        }
      }
      t.equal(client.untaken, 0);
    });

    t.test(`${transport}, ${mode}: requests of all sizes in one stream are done in order`, async (t) => {
      await using bench = await ReactorBench.start({ transport });
      const device = await bench.device(SIZE);
      const content = readFileSync(device.path);
      const client = await bench.connect(device, { mode });
      const asks = Array.from({ length: 120 }, (_, index): Ask => {
        const about = { cookie: BigInt(index), offset: (index * 77_777) % (4 * MIB) };
        if (index % 4 === 1) return { type: WRITE, ...about, payload: randomBytes(4096 + index) };
        if (index % 4 === 3) return { type: READ, ...about, length: 60_000 };
        const flags = index % 10 === 0 ? CmdFlag.FUA : 0;
        return { type: WRITE, flags, ...about, payload: randomBytes(70_000 + index * 3000) };
      });
      client.send(...asks);
      const replies = await client.replies(asks.length);
      const byCookie = new Map(replies.map((reply) => [Number(reply.cookie), reply]));
      for (const [index, { type, offset, length, payload }] of asks.entries()) {
        const from = Number(offset);
        const reply = byCookie.get(index);
        if (reply?.error !== 0) t.fail(`request ${index}`, { reply });
        payload?.copy(content, from);
        if (type === READ && !reply?.data?.equals(content.subarray(from, from + Number(length)))) {
          t.fail(`request ${index}: other content`);
        }
      }
      t.ok(readFileSync(device.path).equals(content));
    });
  }
}

t.test('it is the pipe that long payloads come through', async (t) => {
  await using bench = await ReactorBench.start({ dataPath: './faulty-data-path.js' });
  const device = await bench.device(SIZE);
  const client = await warmClient(bench, device, 'simple');
  setFaults(device.queue.shared, os.errno.ENOSPC, 'writeFromPipe');
  const ask = (length: number): Ask => ({ type: WRITE, offset: 4096, payload: Buffer.alloc(length) });
  t.equal((await client.ask(ask(64 * KIB))).error, 0);
  t.equal((await client.ask(ask(2 * MIB))).error, WireErrno.ENOSPC);
  t.equal((await client.ask(ask(4096))).error, 0, 'the rest of the payload was taken off the stream');
});

t.test('segments so small that they fill a pipe', async (t) => {
  await using bench = await ReactorBench.start();
  const device = await bench.device(SIZE);
  const content = readFileSync(device.path);
  const client = await warmClient(bench, device, 'simple');
  const payload = randomBytes(200 * KIB);
  const send = inParts(client, { type: WRITE, offset: 777, payload });
  for (let at = 0; at < 7000; at += 7) await send(at);
  await send(payload.length);
  t.equal((await client.replies(1))[0]?.error, 0);
  payload.copy(content, 777);
  t.ok(readFileSync(device.path).equals(content));
});

for (const mode of MODES) {
  t.test(`${mode}: a payload that is frozen halfway goes on after it`, async (t) => {
    await using bench = await ReactorBench.start();
    const device = await bench.device(SIZE);
    const content = readFileSync(device.path);
    const client = await warmClient(bench, device, mode);
    const before = written(device);
    const payload = randomBytes(MIB);
    const send = inParts(client, { type: WRITE, offset: 4096, payload });
    await send(MIB / 2);
    await until('half of it', async () => written(device) - before === MIB / 2 || undefined);
    {
      await using _ = await device.queue.freeze();
      void send(MIB);
      await new Promise((resolve) => setTimeout(resolve, 50));
      t.equal(written(device) - before, MIB / 2, 'nothing is written meanwhile');
    }
    t.equal((await client.replies(1))[0]?.error, 0);
    payload.copy(content, 4096);
    t.ok(readFileSync(device.path).equals(content));
    t.equal(written(device) - before, MIB);
  });

  t.test(`${mode}: the file changes halfway`, async (t) => {
    await using bench = await ReactorBench.start();
    const device = await bench.device(SIZE);
    const content = readFileSync(device.path);
    const client = await warmClient(bench, device, mode);
    const opened: number[] = [];
    let isCollected = false;
    /** The answer to a WRITE of 1 MiB during which something happens. */
    const write = async (change: () => Promise<unknown>): Promise<number | undefined> => {
      const payload = randomBytes(MIB);
      const before = written(device);
      const send = inParts(client, { type: WRITE, offset: 8192, payload });
      await send(MIB / 2 + 100);
      await until('half of it', async () => isCollected || written(device) - before === MIB / 2 || undefined);
      await change();
      void send(MIB);
      const [reply] = await client.replies(1);
      payload.copy(content, 8192, 0, reply?.error === 0 ? MIB : MIB / 2);
      t.ok(readFileSync(device.path).equals(content));
      return reply?.error;
    };
    const rebind = async (flags: number): Promise<unknown> => opened.push(await device.rebind(flags));
    t.equal(await write(() => device.clear()), WireErrno.EIO, 'cleared');
    await device.bind();
    t.equal(await write(() => rebind(constants.O_RDONLY)), WireErrno.EIO, 'the kernel refuses');
    await device.bind();
    t.equal(await write(() => rebind(constants.O_RDWR | constants.O_DIRECT)), 0, 'direct I/O');
    isCollected = true; // direct I/O writes it as a whole
    t.equal(await write(() => device.bind()), 0, 'and back');
    isCollected = false;
    t.equal(await write(async () => undefined), 0);
    for (const fd of opened) closeSync(fd);
  });
}

t.test('a file that takes no pipe is written another way', async (t) => {
  await using bench = await ReactorBench.start();
  const device = await bench.device(SIZE);
  const client = await warmClient(bench, device, 'simple');
  const full = await device.rebind(constants.O_RDWR, '/dev/full');
  const ask = { type: WRITE, offset: 0, payload: randomBytes(MIB) };
  for (let i = 0; i < 3; i++) t.equal((await client.ask(ask)).error, WireErrno.ENOSPC);
  await device.bind();
  t.equal((await client.ask(ask)).error, 0);
  t.ok(readFileSync(device.path).subarray(0, MIB).equals(ask.payload));
  t.equal((await client.ask({ type: WRITE_ZEROES, offset: 0, length: 4096 })).error, 0);
  closeSync(full);
});

t.test('a client that goes away halfway leaves no descriptor', async (t) => {
  await using bench = await ReactorBench.start();
  const device = await bench.device(SIZE);
  const other = await warmClient(bench, device, 'simple');
  const before = openOfConnections();
  const pipes = pipeEnds();
  for (let i = 0; i < 24; i++) {
    const client = await warmClient(bench, device, 'simple');
    const start = written(device);
    const send = inParts(client, { type: WRITE, offset: 0, payload: randomBytes(MIB) });
    await send(100_000);
    await until('some of it', async () => written(device) > start || undefined);
    client.socket.destroy();
    await client.reason;
    await client.closed;
  }
  await until(
    `as few descriptors as before, ${before}`,
    async () => openOfConnections() <= before || undefined,
  );
  // Fewer than one for each that went away: the thread keeps 16 for the next.
  await until('at most 16 pipes more', async () => pipeEnds() <= pipes + 2 * 16 || undefined);
  t.equal((await other.ask({ type: READ, offset: 0, length: 4096 })).error, 0);
});
