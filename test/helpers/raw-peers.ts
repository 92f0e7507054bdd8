/** Peers that do not speak the protocol: they send what they are told, read nothing, and stay. */
import { connect, type Socket } from 'node:net';

/** Connects to a Unix socket and sends `bytes`; the connection then rests, unread, until it is destroyed. */
export function connectPeer(path: string, bytes?: Buffer): Promise<Socket> {
  return new Promise((settle, reject) => {
    const socket = connect(path);
    socket.pause();
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.removeListener('error', reject);
      socket.on('error', () => {
        /* The server may well close on us: that is its answer. */
      });
      if (bytes !== undefined) socket.write(bytes);
      settle(socket);
    });
  });
}
