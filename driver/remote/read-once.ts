/** One READ over a connection whose handshake is over. */

import { Socket } from 'node:net';
import { Cmd, Magic, Size } from '../../server/wire/constants.js';
import { LoopError } from '../errno.js';

const COOKIE = Buffer.from('a probe.');

function readRequest(length: number): Buffer {
  const request = Buffer.alloc(Size.REQUEST);
  request.writeUInt32BE(Magic.REQUEST, 0);
  request.writeUInt16BE(Cmd.READ, 6);
  COOKIE.copy(request, 8);
  request.writeUInt32BE(length, 24);
  return request;
}

/**
 * The first `length` bytes of the export behind `fd`, which is closed in the end. Throws EIO for an error of the server's, for what is
 * no reply and for the end of the connection, and ETIMEDOUT.
 */
export function readOnce(fd: number, length: number, timeoutMs: number): Promise<Buffer> {
  const socket = new Socket({ fd });
  const whole = Size.SIMPLE_REPLY + length;
  return new Promise<Buffer>((resolve, reject) => {
    const timer = setTimeout(() => reject(new LoopError('ETIMEDOUT', 'a read takes too long')), timeoutMs);
    let received = Buffer.alloc(0);
    socket.on('data', (bytes: Buffer) => {
      received = Buffer.concat([received, bytes]);
      const hasHead = received.length >= Size.SIMPLE_REPLY;
      if (hasHead && received.readUInt32BE(4) !== 0) reject(new LoopError('EIO', 'a read fails'));
      if (received.length >= whole) resolve(received.subarray(Size.SIMPLE_REPLY, whole));
    });
    socket.on('error', reject);
    socket.once('close', () => {
      clearTimeout(timer);
      reject(new LoopError('EIO', 'the connection of a read was ended'));
    });
    socket.write(readRequest(length));
  }).finally(() => socket.destroy());
}
