import { readFileSync } from 'node:fs';
import t from 'tap';
import { Cmd } from '../../../server/wire/constants.js';
import { ReactorBench } from '../../helpers/reactor-bench.js';
import { until } from '../../helpers/until.js';

const { READ, WRITE } = Cmd;
const MIB = 1 << 20;
const BLOCK = 4096;

t.setTimeout(120_000);

const read = (index: number, blocks: number) => ({
  type: READ,
  cookie: BigInt(index + 1),
  offset: (index % blocks) * BLOCK,
  length: BLOCK,
});

t.test('a client with many replies to read gets all of them, in order, however it reads', async (t) => {
  await using bench = await ReactorBench.start();
  const device = await bench.device(4 * MIB);
  const content = readFileSync(device.path);
  const client = await bench.connect(device);
  const blocks = (4 * MIB) / BLOCK;
  let asked = 0;
  let wrong = 0;
  for (let round = 0; round < 60; round++) {
    const burst = [1, 16, 64, 3, 200][round % 5] ?? 1;
    if (round % 2 === 0) client.socket.pause();
    const asks = Array.from({ length: burst }, (_, i) => read(asked + i, blocks));
    // One by one, as a client does that sends a request for each reply it has read.
    for (const ask of asks) client.send(ask);
    await new Promise((resolve) => setTimeout(resolve, 2));
    client.socket.resume();
    const replies = await client.replies(burst);
    for (const [i, { cookie, data }] of replies.entries()) {
      const at = ((asked + i) % blocks) * BLOCK;
      if (cookie !== BigInt(asked + i + 1) || !data?.equals(content.subarray(at, at + BLOCK))) wrong++;
    }
    asked += burst;
  }
  t.equal(wrong, 0, `${asked} replies`);
});

t.test('large replies after many small ones, and small ones after them', async (t) => {
  await using bench = await ReactorBench.start();
  const device = await bench.device(4 * MIB);
  const content = readFileSync(device.path);
  const client = await bench.connect(device);
  for (let round = 0; round < 10; round++) {
    client.send(...Array.from({ length: 64 }, (_, i) => read(i, 64)));
    t.equal((await client.replies(64)).length, 64);
    const { data } = await client.ask({ type: READ, offset: 0, length: 2 * MIB });
    if (!data?.equals(content.subarray(0, 2 * MIB))) t.fail('a large read is wrong');
  }
});

t.test('a drain does not wait for a client that has not read its replies to send more', async (t) => {
  await using bench = await ReactorBench.start();
  const device = await bench.device(MIB);
  const client = await bench.connect(device);
  client.socket.pause();
  for (let i = 0; i < 64; i++) client.send(read(i, 64));
  await new Promise((resolve) => setTimeout(resolve, 50));
  const drained = bench.close(10_000);
  client.socket.resume();
  t.equal((await client.replies(64)).length, 64, 'it is answered first');
  await drained;
  t.equal(bench.pool.connections, 0);
});

t.test('writes are not held up', async (t) => {
  await using bench = await ReactorBench.start();
  const device = await bench.device(MIB);
  const client = await bench.connect(device);
  client.socket.pause();
  const payload = Buffer.alloc(BLOCK, 7);
  for (let i = 0; i < 200; i++) {
    client.send({ type: WRITE, cookie: BigInt(i + 1), offset: (i % 256) * BLOCK, payload });
  }
  const last = (): Buffer => readFileSync(device.path).subarray(199 * BLOCK, 200 * BLOCK);
  await until('the last is carried out, unread', async () => (last().equals(payload) ? true : undefined));
  t.pass('carried out unread');
  client.socket.resume();
  t.equal((await client.replies(200)).length, 200);
});
