/** A plain NBD session: one request at a time, simple replies. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { HandshakeClient, option, u16, u32 } from './handshake.js';

const EXPORT_NAME = 1;
const Cmd = { READ: 0, WRITE: 1, DISC: 2, FLUSH: 3 } as const;
const REPLY_MAGIC = 0x67446698;

/** How a client takes its leave: by DISC, by the end of the stream, or by vanishing. */
export type Leave = 'disc' | 'end' | 'destroy';
export const LEAVES: readonly Leave[] = ['disc', 'end', 'destroy'];

/** What a request ended in: an errno number of the protocol, 0 for success. */
export interface ReadAnswer {
  readonly error: number;
  readonly data: Buffer;
}

export class NbdSession {
  private constructor(
    readonly client: HandshakeClient,
    /** As negotiated, bytes. */
    readonly size: number,
  ) {}

  /** Takes an export of a Unix socket. */
  static async open(socketPath: string, name: string): Promise<NbdSession> {
    const socket = connect(socketPath);
    await once(socket, 'connect');
    return NbdSession.take(socket, name);
  }

  /** Takes an export by EXPORT_NAME, over what is connected. Throws when the server refuses, which it does by closing. */
  static async take(socket: Socket, name: string): Promise<NbdSession> {
    socket.on('error', () => {});
    const client = new HandshakeClient(socket);
    await client.greet();
    client.send(option(EXPORT_NAME, Buffer.from(name)));
    const answer = await client.read(10);
    return new NbdSession(client, Number(answer.readBigUInt64BE(0)));
  }

  async read(offset: number, length: number): Promise<ReadAnswer> {
    this.#request(Cmd.READ, offset, length);
    const error = await this.#reply();
    return { error, data: error === 0 ? await this.client.read(length) : Buffer.alloc(0) };
  }

  async write(offset: number, data: Buffer, flags = 0): Promise<number> {
    this.#request(Cmd.WRITE, offset, data.length, data, flags);
    return this.#reply();
  }

  async flush(): Promise<number> {
    this.#request(Cmd.FLUSH, 0, 0);
    return this.#reply();
  }

  leave(how: Leave): void {
    if (how === 'disc') this.#request(Cmd.DISC, 0, 0);
    if (how === 'destroy') this.client.stream.destroy();
    else this.client.stream.end();
  }

  #request(type: number, offset: number, length: number, payload: Buffer = Buffer.alloc(0), flags = 0): void {
    const place = Buffer.alloc(16);
    place.writeBigUInt64BE(BigInt(offset), 8);
    this.client.send(u32(0x25609513), u16(flags), u16(type), place, u32(length), payload);
  }

  async #reply(): Promise<number> {
    const header = await this.client.read(16);
    if (header.readUInt32BE(0) !== REPLY_MAGIC) throw new Error('this is no simple reply');
    return header.readUInt32BE(4);
  }
}
