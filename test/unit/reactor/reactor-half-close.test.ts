import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import t from 'tap';
import { Cmd, CmdFlag } from '../../../server/wire/constants.js';
import { hold } from '../../helpers/held-data-path.js';
import { ReactorBench } from '../../helpers/reactor-bench.js';
import type { Ask } from '../../helpers/transmission-client.js';

const { READ, WRITE, FLUSH, DISC } = Cmd;
const { FUA } = CmdFlag;
const MIB = 1 << 20;
const MODES = ['simple', 'structured', 'extended'] as const;

t.setTimeout(60_000);

const some = { type: READ, offset: 0, length: 512 };
const payload = Buffer.alloc(100_000, 7);

/** What is answered when the disk is done with it. */
const STARTED: readonly (readonly [what: string, ...asks: Ask[]])[] = [
  ['a FLUSH', { type: FLUSH }],
  ['a WRITE with FUA', { type: WRITE, flags: FUA, offset: 0, payload: payload.subarray(0, 4096) }],
  ['one that comes in slices', { type: WRITE, flags: FUA, offset: 8192, payload }],
  [
    'several',
    { ...some, cookie: 1n },
    { type: FLUSH, cookie: 2n },
    { type: WRITE, flags: FUA, cookie: 3n, offset: 0, payload },
    { type: FLUSH, cookie: 4n },
  ],
];

for (const transport of ['unix', 'tcp'] as const) {
  for (const mode of MODES) {
    t.test(`${transport}, ${mode}: a client that only ended its side gets every reply`, async (t) => {
      await using bench = await ReactorBench.start({ transport, dataPath: './held-data-path.js' });
      const device = await bench.device(MIB);
      const other = await bench.connect(device);
      for (const [what, ...asks] of STARTED) {
        hold(device.queue.shared, true);
        const client = await bench.connect(device, { mode });
        client.send(...asks);
        client.socket.end();
        await once(client.socket, 'finish');
        // A thread looks at all of its connections in a round, so the other's second reply is behind the end.
        for (let round = 0; round < 3; round++) await other.ask(some);
        hold(device.queue.shared, false);
        bench.pool.wake();
        const replies = await client.replies(asks.length);
        t.ok(
          replies.every(({ error }) => error === 0),
          what,
        );
        t.equal(await client.reason, 'the client closed the connection');
        await client.closed;
      }
      t.ok(readFileSync(device.path).subarray(8192, payload.length).equals(payload.subarray(8192)));
      t.equal(device.queue.inFlight, 0);
    });
  }
}

t.test('a client that is gone while an operation is under way is let go when that ends', async (t) => {
  await using bench = await ReactorBench.start({ dataPath: './held-data-path.js' });
  const device = await bench.device(MIB);
  const other = await bench.connect(device);
  for (const last of [{ type: FLUSH }, { type: DISC }]) {
    hold(device.queue.shared, true);
    const client = await bench.connect(device);
    client.send({ type: FLUSH }, last);
    await other.ask(some);
    client.socket.destroy();
    for (let round = 0; round < 3; round++) await other.ask(some);
    t.equal(bench.pool.connections, 2, 'the kernel may still use what it holds');
    hold(device.queue.shared, false);
    bench.pool.wake();
    await client.reason;
    t.equal(bench.pool.connections, 1);
    t.equal(device.queue.inFlight, 0);
  }
});
