/** The least of a client: it takes the export, reads one block, and then rests. */
import { connect, type Socket } from 'node:net';
import { ClientFlag, Cmd, Magic, Opt, Size } from '../../server/wire/constants.js';

/** Bytes of the answer to EXPORT_NAME with NO_ZEROES: the size and the transmission flags. */
const EXPORT_NAME_REPLY = 10;
const BLOCK = 4096;

/** Resolves once the block was read; destroy the socket to end the session. */
export const restingClient = async (path: string, exportName: string): Promise<Socket> => {
  const socket = connect({ path });
  await received(socket, Size.GREETING);
  socket.write(takeExport(exportName));
  await received(socket, EXPORT_NAME_REPLY);
  socket.write(readOneBlock());
  await received(socket, Size.SIMPLE_REPLY + BLOCK);
  return socket;
};

/** The client's flags and the option EXPORT_NAME. */
const takeExport = (name: string): Buffer => {
  const message = Buffer.alloc(Size.CLIENT_FLAGS + Size.OPTION_HEADER);
  message.writeUInt32BE(ClientFlag.FIXED_NEWSTYLE | ClientFlag.NO_ZEROES);
  message.writeBigUInt64BE(Magic.OPTION, 4);
  message.writeUInt32BE(Opt.EXPORT_NAME, 12);
  message.writeUInt32BE(Buffer.byteLength(name), 16);
  return Buffer.concat([message, Buffer.from(name)]);
};

const readOneBlock = (): Buffer => {
  const message = Buffer.alloc(Size.REQUEST);
  message.writeUInt32BE(Magic.REQUEST);
  message.writeUInt16BE(Cmd.READ, 6);
  message.writeUInt32BE(BLOCK, 24);
  return message;
};

/** Reads `length` bytes; rejects when the server ends before. */
export const received = (socket: Socket, length: number): Promise<void> =>
  new Promise((resolve, reject) => {
    let count = 0;
    const settle = (error?: Error): void => {
      socket.off('data', onData).off('error', settle).off('close', onClose);
      if (error === undefined) resolve();
      else reject(error);
    };
    const onData = (bytes: Buffer): void => {
      count += bytes.length;
      if (count >= length) settle();
    };
    const onClose = (): void => settle(new Error(`the server ended after ${count} of ${length} bytes`));
    socket.on('data', onData).on('error', settle).on('close', onClose);
  });
