import t from 'tap';
import { missingOf } from '../../../driver/io/replicas.js';

/** As `.meta/graphs/active/v-client-0/private` of GlusterFS 10 tells it. */
const client = (connected: boolean, ...descriptors: number[]): string =>
  [
    '[xlator.protocol.client.v-client-0.priv]',
    ...descriptors.map((remote, index) => `fd.${index}.remote_fd = ${remote}`),
    `connected = ${connected ? 1 : 0}`,
    'total_bytes_read = 6944',
    'ping_timeout = 5',
    '',
  ].join('\n');

t.test('descriptors that a brick lacks are told from those that are open everywhere', async (t) => {
  const cases = [
    [0, 'nothing is open', [client(true), client(true), client(true)]],
    [0, 'all is open everywhere', [client(true, 0, 3), client(true, 1, 0), client(true, 0, 1)]],
    [0, 'a brick is away', [client(true, 0), client(false, -1), client(true, 0)]],
    [1, 'it is back, without what was open', [client(true, 0), client(true, -1), client(true, 0)]],
    [1, 'and without what was opened meanwhile', [client(true, 0, 1), client(true, 0), client(true, 0, 1)]],
    [0, 'what was given up stays in the table', [client(true, 0), client(true, -1, 0), client(true, 0)]],
    [2, 'two lack it', [client(true, 0), client(true, -1), client(true)]],
    [0, 'no brick is there', [client(false, -1), client(false, -1)]],
  ] as const;
  for (const [missing, title, clients] of cases) t.equal(missingOf(clients), missing, title);
});
