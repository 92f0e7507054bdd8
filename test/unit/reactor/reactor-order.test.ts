import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import t from 'tap';
import { Connection } from '../../../server/reactor/connection.js';
import { Next } from '../../../server/reactor/next.js';
import { Outgoing } from '../../../server/reactor/outgoing.js';
import { PlainTransport } from '../../../server/reactor/transport.js';
import { Input } from '../../../server/session/input.js';
import { isFault } from '../../../server/session/link.js';
import { Output } from '../../../server/session/output.js';
import { Pipes } from '../../../server/system/pipes.js';
import { close, duplicate, setSendBuffer } from '../../../server/system/sockets.js';
import { Spares } from '../../../server/system/spares.js';
import { Cmd } from '../../../server/wire/constants.js';
import { FaultyBackend, MemoryBackend } from '../../helpers/memory-backend.js';
import { TempDir } from '../../helpers/temp.js';
import { encodeAsk } from '../../helpers/transmission-client.js';

const MIB = 1 << 20;

/** The server's descriptor of a new connection, and the client's socket, which reads nothing unless told. */
async function pair(dir: TempDir): Promise<{ fd: number; near: Socket }> {
  const server = createServer().listen(dir.file('socket'));
  await once(server, 'listening');
  const near = connect(dir.file('socket'));
  near.pause();
  const [far] = (await once(server, 'connection')) as [Socket];
  const fd = duplicate((far as unknown as { readonly _handle: { readonly fd: number } })._handle.fd);
  far.destroy();
  server.close();
  return { fd, near };
}

const shared = () => ({
  input: new Input(MIB),
  out: new Output(MIB),
  pipes: new Pipes(),
  spares: new Spares(MIB),
  operations: undefined,
});

/** What arrives until the server's end is closed. */
async function received(near: Socket): Promise<Buffer> {
  const pieces: Buffer[] = [];
  near.on('data', (bytes: Buffer) => pieces.push(bytes));
  near.resume();
  await once(near, 'close');
  return Buffer.concat(pieces);
}

t.test('nothing is sent before the peer took what was', async (t) => {
  using dir = new TempDir();
  const { fd, near } = await pair(dir);
  setSendBuffer(fd, 64 << 10);
  const { out, ...rest } = shared();
  const outgoing = new Outgoing(new PlainTransport(fd), rest, (reason) => t.fail(reason));
  out.begin(outgoing);
  out.bytes.fill(1);
  out.length = MIB;
  t.notOk(out.flush(), 'the peer takes part of it');
  t.notOk(outgoing.isTaken);
  out.isBlocked = false;
  out.bytes.fill(2);
  out.length = 16;
  t.notOk(out.flush());
  t.not(out.fault, '', 'what is added is a mistake');
  out.begin(outgoing);
  const pipe = rest.pipes.take(4096);
  if (pipe === undefined) throw new Error('no pipe');
  outgoing.sendPipe(out, pipe, 0, 4096);
  t.not(out.fault, '', 'also through a pipe');
  const arrived = received(near);
  while (!outgoing.drain()) await new Promise((resolve) => setTimeout(resolve, 1));
  close(fd);
  outgoing.close();
  t.ok((await arrived).equals(Buffer.alloc(MIB, 1)), 'all of what came first, and nothing else');
  rest.pipes.close();
});

t.test(
  'a reply that must not be sent ends its connection, with a reason that is told as a mistake',
  async (t) => {
    using dir = new TempDir();
    const { fd, near } = await pair(dir);
    const memory = shared();
    const backend = new FaultyBackend(new MemoryBackend(MIB));
    const ask = { type: Cmd.READ, offset: 0, length: 512 };
    const leftover = Buffer.concat([encodeAsk('simple', ask), encodeAsk('simple', { ...ask, length: 4096 })]);
    backend.fault = () => {
      memory.out.abort('as told by the test');
      return 0;
    };
    const options = { id: 1, fd, device: 0, backend, mode: 'simple', contexts: [], minimumBlock: 1 } as const;
    const connection = new Connection(memory, { ...options, readOnly: false, leftover });
    connection.turn();
    t.equal(connection.next, Next.END);
    t.ok(isFault(connection.reason), connection.reason);
    const arrived = received(near);
    connection.close();
    t.equal((await arrived).length, 0);
    memory.pipes.close();
  },
);
