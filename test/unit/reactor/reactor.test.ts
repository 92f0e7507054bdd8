import { readFileSync } from 'node:fs';
import t from 'tap';
import { LaneNum, laneNum } from '../../../driver/queue/slots.js';
import { Cmd, WireErrno } from '../../../server/wire/constants.js';
import { openOfConnections, pipeEnds } from '../../helpers/open-files.js';
import { ReactorBench } from '../../helpers/reactor-bench.js';
import { encodeAsk } from '../../helpers/transmission-client.js';
import { until } from '../../helpers/until.js';

const { READ, WRITE, DISC, FLUSH } = Cmd;
const MIB = 1 << 20;

t.setTimeout(120_000);

const some = { type: READ, offset: 0, length: 4096 };

t.test('a peer that never reads costs bounded memory, and others nothing', async (t) => {
  await using bench = await ReactorBench.start();
  const device = await bench.device(4 * MIB);
  const content = readFileSync(device.path);
  const other = await bench.connect(device);
  await other.ask({ ...some, length: MIB });
  const stuck = await bench.connect(device);
  stuck.socket.pause();
  const before = process.memoryUsage().rss;
  const reads = Array.from({ length: 400 }, (_, index) => ({
    type: READ,
    cookie: BigInt(index),
    offset: (index % 3) * MIB,
    length: index % 2 === 0 ? MIB : 60_000,
  }));
  stuck.send(...reads);
  for (let round = 0; round < 200; round++) {
    const { data } = await other.ask({ ...some, offset: round * 4096 });
    if (!data?.equals(content.subarray(round * 4096, (round + 1) * 4096))) t.fail(`round ${round}`);
  }
  const grown = process.memoryUsage().rss - before;
  t.ok(grown < 64 * MIB, 'far less than the 200 MiB it asked for', { grown });
  t.equal(stuck.untaken, 0);
  stuck.socket.resume();
  const replies = await stuck.replies(reads.length);
  const wrong = replies.filter(({ data, cookie }, index) => {
    const { offset = 0, length = 0 } = reads[index] ?? {};
    return Number(cookie) !== index || !data?.equals(content.subarray(offset, offset + length));
  });
  t.equal(wrong.length, 0, 'when it reads at last, all of it is there and right');
});

t.test('a peer that never reads is dropped all the same', async (t) => {
  await using bench = await ReactorBench.start();
  const device = await bench.device(4 * MIB);
  const other = await bench.connect(device);
  const stuck = await bench.connect(device);
  stuck.socket.pause();
  stuck.send(...Array.from({ length: 20 }, () => ({ type: READ, offset: 0, length: MIB })));
  await other.ask(some);
  // Ids count from 1 in the order of adoption.
  bench.pool.drop(2, 'a test dropped it');
  t.equal(await stuck.reason, 'a test dropped it');
  t.equal((await other.ask(some)).error, 0, 'the other goes on');
  t.equal(bench.pool.connections, 1);
});

t.test('a peer that is reset in the middle of a reply, a request or a payload is closed', async (t) => {
  await using bench = await ReactorBench.start();
  const device = await bench.device(4 * MIB);
  const other = await bench.connect(device);
  const large = encodeAsk('simple', { type: WRITE, offset: 0, payload: Buffer.alloc(MIB) });
  for (const bytes of [
    Buffer.alloc(0),
    large.subarray(0, 10),
    large.subarray(0, 28),
    large.subarray(0, 500_000),
    Buffer.concat(Array.from({ length: 30 }, () => encodeAsk('simple', { ...some, length: MIB }))),
  ]) {
    const client = await bench.connect(device);
    client.socket.pause();
    await new Promise<void>((resolve) => client.socket.write(bytes, () => resolve()));
    await other.ask(some);
    client.socket.destroy();
    t.match(await client.reason, /closed the connection|was reset/);
    t.equal((await other.ask(some)).error, 0);
  }
  t.equal(device.queue.inFlight, 0, 'no request is still counted in');
});

t.test('DISC and a broken stream end the connection, each with its reason', async (t) => {
  await using bench = await ReactorBench.start();
  const device = await bench.device(MIB);
  const leaving = await bench.connect(device);
  leaving.send(some, { type: DISC });
  t.equal((await leaving.replies(1))[0]?.error, 0);
  t.equal(await leaving.reason, 'the client disconnected');
  await leaving.closed;
  const broken = await bench.connect(device);
  broken.send(some);
  broken.socket.write(Buffer.alloc(64, 0x11));
  t.equal((await broken.replies(1))[0]?.error, 0, 'what came before is answered');
  t.equal(await broken.reason, 'the client broke the protocol');
  await broken.closed;
});

t.test('bytes that were received with the handshake come first', async (t) => {
  await using bench = await ReactorBench.start();
  const device = await bench.device(MIB);
  const content = readFileSync(device.path);
  const first = { type: READ, cookie: 1n, offset: 100, length: 50 };
  const second = { type: READ, cookie: 2n, offset: 200, length: 50 };
  const stream = Buffer.concat([encodeAsk('simple', first), encodeAsk('simple', second)]);
  for (let cut = 0; cut <= stream.length; cut++) {
    const client = await bench.connect(device, { leftover: stream.subarray(0, cut) });
    client.expect(first, second);
    client.socket.write(stream.subarray(cut));
    const replies = await client.replies(2);
    if (!replies[0]?.data?.equals(content.subarray(100, 150))) t.fail(`cut at ${cut}: the first`);
    if (!replies[1]?.data?.equals(content.subarray(200, 250))) t.fail(`cut at ${cut}: the second`);
    client.socket.destroy();
  }
});

t.test('a frozen device parks its connections until the thaw; other devices go on', async (t) => {
  await using bench = await ReactorBench.start();
  const device = await bench.device(4 * MIB);
  const content = readFileSync(device.path);
  const [parked, other] = [await bench.connect(device), await bench.connect(await bench.device(MIB))];
  for (let round = 0; round < 20; round++) {
    const frozen = await device.queue.freeze();
    const length = round % 2 === 0 ? 4096 : MIB;
    parked.send({ type: READ, offset: round * 512, length }, { type: FLUSH });
    for (let i = 0; i < 5; i++) await other.ask(some);
    t.equal(parked.untaken, 0, 'nothing while frozen');
    frozen.thaw();
    const [read, flush] = await parked.replies(2);
    t.ok(read?.data?.equals(content.subarray(round * 512, round * 512 + length)));
    t.equal(flush?.error, 0);
  }
});

t.test('a device that is cleared gives EIO; bound again, the same connection works', async (t) => {
  await using bench = await ReactorBench.start();
  const device = await bench.device(4 * MIB);
  const client = await bench.connect(device, { mode: 'structured' });
  await device.clear();
  client.send(
    some,
    { ...some, length: MIB },
    { type: WRITE, offset: 0, payload: Buffer.alloc(MIB) },
    { type: FLUSH },
  );
  t.strictSame(
    (await client.replies(4)).map(({ error }) => error),
    Array(4).fill(WireErrno.EIO),
  );
  await device.bind();
  t.ok((await client.ask(some)).data?.equals(readFileSync(device.path).subarray(0, 4096)));
});

t.test('a drain answers what was received, then ends every connection', async (t) => {
  await using bench = await ReactorBench.start({ reactors: 2 });
  const device = await bench.device(4 * MIB);
  const clients = [];
  for (let i = 0; i < 6; i++) clients.push(await bench.connect(device));
  for (const client of clients) await client.ask(some);
  for (const client of clients) {
    client.send(...Array.from({ length: 8 }, () => ({ type: READ, offset: 0, length: MIB })));
    await client.replies(1);
  }
  await bench.close();
  for (const client of clients) {
    t.equal(await client.reason, 'the server is draining');
    t.equal((await client.replies(7)).length, 7);
    await client.closed;
  }
  t.equal(bench.pool.connections, 0);
});

t.test('a drain does not wait for a peer that never reads, or a device that never thaws', async (t) => {
  await using bench = await ReactorBench.start();
  const device = await bench.device(4 * MIB);
  const stuck = await bench.connect(device);
  stuck.socket.pause();
  stuck.send(...Array.from({ length: 20 }, () => ({ type: READ, offset: 0, length: MIB })));
  const frozenDevice = await bench.device(MIB);
  const parked = await bench.connect(frozenDevice);
  await parked.ask(some);
  const frozen = await frozenDevice.queue.freeze();
  parked.send(some);
  const idle = await bench.connect(device);
  await idle.ask(some);
  await bench.close(200);
  t.equal(await stuck.reason, 'the server stopped');
  t.equal(await parked.reason, 'the server stopped');
  t.equal(await idle.reason, 'the server is draining');
  frozen.thaw();
});

t.test('as many connections as one likes, on a few threads, and none leaves a descriptor', async (t) => {
  await using bench = await ReactorBench.start({ reactors: 2 });
  const device = await bench.device(MIB);
  const content = readFileSync(device.path);
  const warm = await bench.connect(device);
  await bench.connect(device);
  await bench.pool.ready(); // also of the thread that is kept for what comes next
  const before = openOfConnections();
  const pipes = pipeEnds();
  const clients = [];
  for (let i = 0; i < 150; i++) clients.push(await bench.connect(device));
  t.equal(bench.pool.connections, 152);
  const replies = await Promise.all(
    clients.map((client, index) => client.ask({ type: READ, offset: index * 100, length: 70_000 })),
  );
  t.ok(replies.every(({ data }, index) => data?.equals(content.subarray(index * 100, index * 100 + 70_000))));
  for (const client of clients) client.socket.destroy();
  await until('they are gone', async () => (bench.pool.connections === 2 ? true : undefined));
  await until('their descriptors too', async () => openOfConnections() <= before || undefined);
  await until('at most 16 pipes a thread', async () => pipeEnds() <= pipes + 2 * 2 * 16 || undefined);
  t.equal((await warm.ask(some)).error, 0);
});

t.test('many peers that read late leave only a few pipes', async (t) => {
  await using bench = await ReactorBench.start();
  const device = await bench.device(4 * MIB);
  const warm = await bench.connect(device);
  await warm.ask({ ...some, length: MIB });
  const before = pipeEnds();
  const late = [];
  for (let i = 0; i < 40; i++) {
    const client = await bench.connect(device);
    client.socket.pause();
    client.send(...Array.from({ length: 6 }, () => ({ type: READ, offset: 0, length: MIB })));
    late.push(client);
  }
  await warm.ask(some);
  for (const client of late) client.socket.resume();
  for (const client of late) t.equal((await client.replies(6)).length, 6);
  for (const client of late) client.socket.destroy();
  await until('at most 16 pipes are left', async () => (pipeEnds() <= before + 2 * 16 ? true : undefined));
});

t.test('freezes that race requests on two threads lose no wake and no request', async (t) => {
  await using bench = await ReactorBench.start({ reactors: 2 });
  const device = await bench.device(4 * MIB);
  const content = readFileSync(device.path);
  const clients = [];
  for (let i = 0; i < 4; i++) clients.push(await bench.connect(device));
  let isOver = false;
  const work = clients.map(async (client, index) => {
    let rounds = 0;
    for (; !isOver; rounds++) {
      const asks = Array.from({ length: 8 }, (_, at) => ({ ...some, offset: (rounds + at + index) * 512 }));
      client.send(...asks);
      for (const [at, { data }] of (await client.replies(8)).entries()) {
        const { offset = 0 } = asks[at] ?? {};
        if (!data?.equals(content.subarray(offset, offset + 4096))) throw new Error(`round ${rounds}`);
      }
    }
    return rounds;
  });
  // Not the count of those in flight: a request that finds the gate shut is counted in for a moment.
  const numbers = new Float64Array(device.queue.shared);
  const served = (): number[] => [0, 1].map((lane) => numbers[laneNum(lane) + LaneNum.READS] ?? Number.NaN);
  for (let freeze = 0; freeze < 500; freeze++) {
    const frozen = await device.queue.freeze();
    const before = served();
    if (freeze % 5 === 0) await new Promise((resolve) => setImmediate(resolve));
    t.strictSame(served(), before, 'nothing is served behind a freeze');
    frozen.thaw();
    await new Promise((resolve) => setImmediate(resolve));
  }
  isOver = true;
  const rounds = await Promise.all(work);
  t.ok(
    rounds.every((count) => count > 0),
    `${rounds.join(', ')} rounds`,
  );
});
