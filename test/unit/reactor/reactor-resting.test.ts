import { readdirSync, readFileSync } from 'node:fs';
import t from 'tap';
import { Cmd } from '../../../server/wire/constants.js';
import { type BlockClient, ReactorBench, type TestDevice } from '../../helpers/reactor-bench.js';
import { until } from '../../helpers/until.js';

const { READ, WRITE, FLUSH } = Cmd;
const MIB = 1 << 20;
const CLIENTS = 60;
/** Of one thread's connections, this many are looked at in every turn (server/reactor/connections.ts). */
const MOST_AWAKE = 16;

t.setTimeout(120_000);

/** Descriptors in all epolls of this process (proc(5), fdinfo). Ours are told from Node's by the difference. */
function watched(): number {
  let count = 0;
  for (const fd of readdirSync('/proc/self/fdinfo')) {
    try {
      count += readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8').match(/^tfd:/gm)?.length ?? 0;
    } catch {
      // Closed meanwhile.
    }
  }
  return count;
}

async function connectAll(bench: ReactorBench, devices: readonly TestDevice[]): Promise<BlockClient[]> {
  const clients: BlockClient[] = [];
  for (let i = 0; i < CLIENTS; i++) {
    clients.push(await bench.connect(devices[i % devices.length] as TestDevice));
  }
  for (const client of clients) await client.ask({ type: READ, offset: 0, length: 512 });
  return clients;
}

/** One client is busy until the others are at rest. `before`: what was watched before there were clients. */
async function restOthers(busy: BlockClient, before: number): Promise<void> {
  await until('the others rest', async () => {
    for (let i = 0; i < 50; i++) await busy.ask({ type: READ, offset: 0, length: 512 });
    // Node watches the clients' ends.
    return watched() - before >= CLIENTS + CLIENTS - MOST_AWAKE ? true : undefined;
  });
}

t.test('connections that rest answer as before, whatever wakes them', async (t) => {
  await using bench = await ReactorBench.start();
  const devices = [await bench.device(MIB), await bench.device(MIB)];
  const contents = devices.map(({ path }) => readFileSync(path));
  const before = watched();
  const clients = await connectAll(bench, devices);
  const [busy, ...others] = clients as [BlockClient, ...BlockClient[]];
  await restOthers(busy, before);

  const replies = await Promise.all(
    clients.map((client, i) => client.ask({ type: READ, offset: i * 4096, length: 4096 })),
  );
  const wrong = replies.filter(
    ({ data }, i) => !data?.equals((contents[i % 2] as Buffer).subarray(i * 4096, (i + 1) * 4096)),
  );
  t.equal(wrong.length, 0, 'all at once');

  await restOthers(busy, before);
  for (const [i, client] of others.entries()) {
    const payload = Buffer.alloc(4096, i);
    t.equal((await client.ask({ type: WRITE, offset: i * 4096, payload })).error, 0);
    t.equal((await client.ask({ type: FLUSH })).error, 0);
    const { data } = await client.ask({ type: READ, offset: i * 4096, length: 4096 });
    t.ok(data?.equals(payload), `client ${i}, one after the other`);
  }

  await restOthers(busy, before);
  const last = others.at(-1) as BlockClient;
  t.equal(await bench.handOver(last), true, 'one that rests is handed over');
  t.equal((await last.ask({ type: READ, offset: 0, length: 512 })).error, 0);

  await restOthers(busy, before);
  bench.drop(last, 'a test dropped it');
  t.equal(await last.reason, 'a test dropped it', 'one that rests is dropped');
  const gone = others[0] as BlockClient;
  gone.socket.destroy();
  t.match(await gone.reason, /closed the connection/, 'one that rests notices that its client is gone');
  t.equal(bench.pool.connections, CLIENTS - 2);
});

t.test(
  'a request that meets a frozen device after a rest waits for it, beside others that rest',
  async (t) => {
    await using bench = await ReactorBench.start();
    const [first, second] = [await bench.device(MIB), await bench.device(MIB)];
    const before = watched();
    const clients = await connectAll(bench, [first, second]);
    const [busy] = clients as [BlockClient, ...BlockClient[]];
    await restOthers(busy, before);
    const waiting = clients[1] as BlockClient;
    {
      await using _ = await second.queue.freeze();
      waiting.send({ type: READ, offset: 0, length: 512 });
      for (let i = 0; i < 100; i++) await busy.ask({ type: READ, offset: 0, length: 512 });
      t.equal(waiting.untaken, 0);
    }
    t.equal((await waiting.replies(1))[0]?.error, 0);
  },
);

t.test('the last one of a thread is served alone again, and nothing is left at its end', async (t) => {
  await using bench = await ReactorBench.start();
  const before = watched();
  const clients = await connectAll(bench, [await bench.device(MIB)]);
  const [busy, kept, ...others] = clients as [BlockClient, BlockClient, ...BlockClient[]];
  await restOthers(busy, before);
  for (const client of [...others, busy]) client.socket.destroy();
  for (const client of [...others, busy]) await client.reason;
  for (let i = 0; i < 200; i++) {
    if ((await kept.ask({ type: READ, offset: 0, length: 512 })).error !== 0) t.fail(`request ${i}`);
  }
  t.equal(bench.pool.connections, 1);
});
