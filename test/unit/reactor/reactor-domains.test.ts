import { readFileSync } from 'node:fs';
import t from 'tap';
import { Cmd } from '../../../server/wire/constants.js';
import { putReadsToSleep } from '../../helpers/faulty-data-path.js';
import { type BlockClient, ReactorBench, type TestDevice } from '../../helpers/reactor-bench.js';
import { until } from '../../helpers/until.js';

const { READ, WRITE } = Cmd;
const MIB = 1 << 20;
const ASK = { type: READ, offset: 512, length: 4096 } as const;

t.setTimeout(120_000);

/** Reads of the device hang at once until the scope ends; its thread does nothing else meanwhile. */
function hang(device: TestDevice): Disposable {
  const wakeUp = putReadsToSleep(device.queue.shared);
  return { [Symbol.dispose]: wakeUp };
}

const hungRead = (client: BlockClient): void => client.send(ASK);

t.test('a device whose reads hang stops none that stands on something else, with one reactor', async (t) => {
  await using bench = await ReactorBench.start({ dataPath: './faulty-data-path.js' });
  const [bad, good] = [await bench.device(MIB), await bench.device(MIB)];
  bad.domain = 'file system 7:1';
  const stuck = [await bench.connect(bad), await bench.connect(bad), await bench.connect(bad)];
  const before = await bench.connect(good);
  {
    using _ = hang(bad);
    for (const client of stuck) hungRead(client);
    for (const client of [before, await bench.connect(good), await bench.connect(good)]) {
      const reply = await client.ask({ type: WRITE, offset: 0, payload: Buffer.alloc(8192, 7) });
      t.equal(reply.error, 0);
      t.equal((await client.ask(ASK)).error, 0);
    }
    t.equal(
      stuck.reduce((sum, client) => sum + client.untaken, 0),
      0,
      'while these wait',
    );
  }
  for (const client of stuck) t.equal((await client.replies(1))[0]?.error, 0, 'and then are answered');
});

t.test(
  'a domain has at most as many threads as there are reactors, and an idle thread serves the next',
  async (t) => {
    await using bench = await ReactorBench.start({ reactors: 2 });
    t.equal(bench.pool.threads, 2);
    const devices = await Promise.all(['a', 'b', 'c'].map(() => bench.device(MIB)));
    const clients: BlockClient[] = [];
    for (const [index, device] of devices.entries()) {
      device.domain = `file system 8:${index}`;
      for (let i = 0; i < 5; i++) clients.push(await bench.connect(device));
      t.equal(bench.pool.threads, 2 * (index + 1) + 1, 'and one is ready for what comes next');
    }
    for (const client of clients) t.equal((await client.ask(ASK)).error, 0);
    for (const client of clients.splice(0, 10)) {
      client.send({ type: Cmd.DISC });
      await client.closed;
    }
    const [first] = devices;
    if (first === undefined) throw new Error('no device');
    first.domain = 'file system 9:9';
    for (let i = 0; i < 5; i++) clients.push(await bench.connect(first));
    for (const client of clients) t.equal((await client.ask(ASK)).error, 0);
    t.equal(bench.pool.threads, 7, 'those that became idle are used again');
  },
);

t.test(
  'connections whose device changes to another file system leave the one that hangs behind',
  async (t) => {
    await using bench = await ReactorBench.start({ dataPath: './faulty-data-path.js' });
    const [bad, moving] = [await bench.device(MIB), await bench.device(4 * MIB)];
    bad.domain = moving.domain = 'file system 7:1';
    const stuck = await bench.connect(bad);
    const clients = [await bench.connect(moving), await bench.connect(moving, { mode: 'extended' })];
    for (const client of clients) t.equal((await client.ask(ASK)).error, 0);
    moving.domain = 'file system 7:2';
    bench.pool.wake();
    // Whatever is asked meanwhile is answered on either thread, once.
    for (const client of clients) {
      for (let i = 0; i < 50; i++) client.send({ ...ASK, cookie: BigInt(i) });
      const replies = await client.replies(50);
      t.strictSame(
        replies.map(({ cookie }) => Number(cookie)),
        Array.from({ length: 50 }, (_, index) => index),
      );
      t.ok(replies[49]?.data?.equals(readFileSync(moving.path).subarray(512, 4608)));
    }
    await until('they have moved', async () => (bench.pool.threads >= 3 ? true : undefined));
    {
      using _ = hang(bad);
      hungRead(stuck);
      await new Promise((resolve) => setTimeout(resolve, 50));
      for (const client of clients) t.equal((await client.ask(ASK)).error, 0, 'the other one hangs');
    }
    t.equal((await stuck.replies(1))[0]?.error, 0);
    t.equal(bench.pool.connections, 3);
  },
);

t.test(
  'a connection that is ended, or given up, while it changes threads is closed or parted once',
  async (t) => {
    await using bench = await ReactorBench.start();
    const device = await bench.device(MIB);
    for (let round = 0; round < 20; round++) {
      const [dropped, parted] = [await bench.connect(device), await bench.connect(device)];
      await Promise.all([dropped.ask(ASK), parted.ask(ASK)]);
      device.domain = `file system 8:${round}`;
      bench.pool.wake();
      if (round % 2 === 1) await new Promise((resolve) => setImmediate(resolve));
      bench.drop(dropped, 'dropped by the test');
      t.ok(await bench.handOver(parted));
      t.equal(await dropped.reason, 'dropped by the test');
      t.equal((await parted.ask(ASK)).error, 0);
      parted.send({ type: Cmd.DISC });
      await parted.reason;
    }
    t.equal(bench.pool.connections, 0);
  },
);

t.test(
  'an end of the pool does not wait for a thread that hangs, and says what that waits for',
  async (t) => {
    await using bench = await ReactorBench.start({ dataPath: './faulty-data-path.js' });
    const [bad, good] = [await bench.device(MIB), await bench.device(MIB)];
    bad.domain = 'file system 7:1';
    const stuck = await bench.connect(bad);
    const client = await bench.connect(good);
    await client.ask(ASK);
    using _ = hang(bad);
    hungRead(stuck);
    await new Promise((resolve) => setTimeout(resolve, 50));
    const began = performance.now();
    t.strictSame(await bench.pool.close(200), ['file system 7:1']);
    t.ok(performance.now() - began < 5000);
    t.equal(await client.reason, 'the server is draining');
  },
);
