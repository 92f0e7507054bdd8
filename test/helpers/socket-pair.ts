import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { TempDir } from './temp.js';

/** Both ends of a new connection over a Unix socket. */
export async function socketPair(): Promise<[near: Socket, far: Socket]> {
  using dir = new TempDir();
  const server = createServer({ pauseOnConnect: true });
  server.listen(dir.file('s'));
  await once(server, 'listening');
  const near = connect(dir.file('s'));
  const [far] = (await once(server, 'connection')) as [Socket];
  server.close();
  return [near, far];
}
