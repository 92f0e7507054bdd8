import { readFileSync } from 'node:fs';
import t from 'tap';
import { LaneNum, laneNum } from '../../../driver/queue/slots.js';
import { Cmd, Size } from '../../../server/wire/constants.js';
import { hold } from '../../helpers/held-data-path.js';
import { ReactorBench } from '../../helpers/reactor-bench.js';
import { type Ask, encodeAsk } from '../../helpers/transmission-client.js';
import { until } from '../../helpers/until.js';

const { READ, WRITE, WRITE_ZEROES, TRIM, FLUSH } = Cmd;
const MIB = 1 << 20;

t.setTimeout(120_000);

t.test('a connection that is handed over again and again answers each request once, in order', async (t) => {
  for (const mode of ['simple', 'extended'] as const) {
    await using bench = await ReactorBench.start({ reactors: 2 });
    const device = await bench.device(4 * MIB);
    const content = readFileSync(device.path);
    const client = await bench.connect(device, { mode });
    const asks: Ask[] = Array.from({ length: 240 }, (_, index) => {
      const about = { cookie: BigInt(index), offset: (index * 12_345) % MIB };
      if (index % 6 === 1) return { type: WRITE, ...about, payload: Buffer.alloc(index * 500 + 1, index) };
      if (index % 6 === 3) return { type: WRITE_ZEROES, ...about, length: index * 100 };
      if (index % 6 === 5) return { type: FLUSH, cookie: BigInt(index) };
      // A large reply refers to the file's pages until the client has it: nothing is written where it is from.
      if (index % 4 === 0) return { type: READ, ...about, offset: 2 * MIB + about.offset, length: 200_000 };
      return { type: READ, ...about, length: 700 };
    });
    const requests = asks.map((ask) => encodeAsk(mode, ask));
    const bytes = Buffer.concat(requests);
    let boundary = 0;
    const boundaries = requests.map(({ length }) => (boundary += length));
    client.expect(...asks);
    let handovers = 0;
    for (let at = 0, turn = 1; at < bytes.length; turn++) {
      const end = at + ((turn * 7919) % 20_000) + 1;
      client.socket.write(bytes.subarray(at, end));
      at = end;
      if (turn % 3 === 0) await new Promise((resolve) => setImmediate(resolve));
      if (at >= bytes.length) break;
      const handover = bench.handOver(client);
      // Halfway through a long payload it is given up only when the rest of it has come.
      const rest = boundaries.find((boundary) => boundary >= at) ?? bytes.length;
      const next = Math.max(rest, at + 30_000);
      client.socket.write(bytes.subarray(at, next));
      at = next;
      if (await handover) handovers++;
    }
    // What was started (FLUSH, FUA) is answered when it is done.
    const replies = (await client.replies(asks.length)).sort((a, b) => Number(a.cookie - b.cookie));
    for (const [index, reply] of replies.entries()) {
      const { type, offset = 0, length = 0, payload } = asks[index] as Ask;
      const from = Number(offset);
      if (Number(reply.cookie) !== index || reply.error !== 0)
        t.fail(`request ${index}`, { reply: reply.error });
      if (type === WRITE) payload?.copy(content, from);
      if (type === WRITE_ZEROES) content.fill(0, from, from + Number(length));
      if (type === READ && !reply.data?.equals(content.subarray(from, from + Number(length)))) {
        t.fail(`request ${index}: other content`);
      }
    }
    t.ok(handovers > 20, `${handovers} handovers`);
    t.ok(readFileSync(device.path).equals(content), mode);
  }
});

t.test('a connection at rest is given up at once, with what it has of the next request', async (t) => {
  await using bench = await ReactorBench.start();
  const device = await bench.device(MIB);
  const client = await bench.connect(device);
  const ask = { type: READ, offset: 512, length: 4096 };
  t.equal((await client.ask(ask)).error, 0);
  const bytes = encodeAsk('simple', ask);
  for (let cut = 0; cut <= bytes.length; cut += 7) {
    client.expect(ask);
    client.socket.write(bytes.subarray(0, cut));
    t.ok(await bench.handOver(client));
    client.socket.write(bytes.subarray(cut));
    const [reply] = await client.replies(1);
    t.ok(reply?.data?.equals(readFileSync(device.path).subarray(512, 4608)), `cut at ${cut}`);
  }
});

t.test('a connection that waits for a thaw is given up when it is answered', async (t) => {
  await using bench = await ReactorBench.start();
  const device = await bench.device(MIB);
  const client = await bench.connect(device);
  const ask = { type: READ, offset: 0, length: 100_000 };
  await client.ask(ask);
  const frozen = await device.queue.freeze();
  client.send(ask);
  const numbers = new Float64Array(device.queue.shared);
  await until('the request is parked', async () => (numbers[laneNum(0) + LaneNum.PARKED] ? true : undefined));
  let isParted = false;
  const handover = bench.handOver(client).then((parted) => {
    isParted = parted;
  });
  await new Promise((resolve) => setTimeout(resolve, 50));
  t.notOk(isParted, 'not with a request begun');
  frozen.thaw();
  t.equal((await client.replies(1))[0]?.error, 0);
  await handover;
  t.ok(isParted);
  t.equal((await client.ask(ask)).error, 0, 'and goes on where it was adopted again');
});

t.test(
  'one with an operation under way is given up when that is answered; what came is for the next',
  async (t) => {
    await using bench = await ReactorBench.start({ dataPath: './held-data-path.js' });
    const device = await bench.device(MIB);
    const [client, other] = [await bench.connect(device), await bench.connect(device)];
    const ask = { type: READ, cookie: 2n, offset: 512, length: 4096 };
    hold(device.queue.shared, true);
    client.send({ type: FLUSH, cookie: 1n });
    await until('the flush is under way', async () => device.queue.inFlight > 0 || undefined);
    await other.ask(ask);
    let isParted = false;
    const handover = bench.handOver(client).then((parted) => {
      isParted = parted;
    });
    client.send(ask);
    for (let round = 0; round < 3; round++) await other.ask(ask);
    t.notOk(isParted, 'not before');
    t.equal(client.untaken, 0, 'nothing more is served');
    hold(device.queue.shared, false);
    bench.pool.wake();
    const replies = await client.replies(2);
    t.strictSame(
      replies.map(({ cookie, error }) => [cookie, error]),
      [
        [1n, 0],
        [2n, 0],
      ],
    );
    await handover;
    t.ok(isParted);
    t.ok(replies[1]?.data?.equals(readFileSync(device.path).subarray(512, 4608)));
  },
);

for (const mode of ['simple', 'structured', 'extended'] as const) {
  t.test(`long changes are given up between two pieces, and done by whoever goes on (${mode})`, async (t) => {
    await using bench = await ReactorBench.start({ dataPath: './held-data-path.js' });
    const device = await bench.device(96 * MIB);
    const [client, other] = [await bench.connect(device, { mode }), await bench.connect(device)];
    const zeroes = { type: WRITE_ZEROES, cookie: 1n, offset: MIB, length: 64 * MIB };
    const trim = { type: TRIM, cookie: 2n, offset: 66 * MIB, length: 24 * MIB };
    hold(device.queue.shared, true);
    client.send(zeroes, trim);
    await until('a piece is under way', async () => device.queue.inFlight > 0 || undefined);
    const handover = bench.handOverWith(client);
    // The thread has heard of it when it answers what was asked later.
    await other.ask({ type: READ, offset: 0, length: 512 });
    hold(device.queue.shared, false);
    bench.pool.wake();
    const leftover = await handover;
    t.equal(leftover?.length, 2 * (mode === 'extended' ? Size.EXTENDED_REQUEST : Size.REQUEST));
    const replies = await client.replies(2);
    t.strictSame(
      replies.map(({ cookie, error }) => [cookie, error]).sort(([a], [b]) => Number(a) - Number(b)),
      [
        [1n, 0],
        [2n, 0],
      ],
    );
    const content = readFileSync(device.path);
    for (const { offset, length } of [zeroes, trim]) {
      t.ok(content.subarray(offset, offset + length).equals(Buffer.alloc(length)), 'all of it, once');
    }
    t.notOk(content.subarray(0, MIB).equals(Buffer.alloc(MIB)), 'and no more');
    t.equal((await client.ask({ type: READ, cookie: 3n, offset: 0, length: 4096 })).error, 0);
  });
}

t.test('a connection whose client leaves is closed, not given up', async (t) => {
  await using bench = await ReactorBench.start();
  const device = await bench.device(MIB);
  const client = await bench.connect(device);
  client.expect({ type: WRITE });
  client.socket.write(encodeAsk('simple', { type: WRITE, offset: 0, length: 500_000 }));
  await new Promise((resolve) => setTimeout(resolve, 50));
  const handover = bench.handOver(client);
  client.socket.destroy();
  t.notOk(await handover);
  t.match(await client.reason, /closed the connection|reset/);
});
