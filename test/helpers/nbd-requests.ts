/** An NBD session over a Unix socket with any number of requests in flight; simple replies. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { Cmd, CmdFlag } from '../../server/wire/constants.js';
import { HandshakeClient, option, u16, u32 } from './handshake.js';

const EXPORT_NAME = 1;
const REPLY_MAGIC = 0x67446698;

/** What a request ended in: an errno number of the protocol, 0 for success, and a READ's data. */
export interface Answer {
  readonly error: number;
  readonly data: Buffer;
}

interface Waiting {
  readonly bytes: number;
  readonly settle: (answer: Answer) => void;
  readonly fail: (error: Error) => void;
}

export class NbdRequests {
  readonly #waiting = new Map<number, Waiting>();
  #lastCookie = 0;
  /** Resolves when the connection is over. */
  readonly closed: Promise<void>;

  private constructor(
    readonly client: HandshakeClient,
    /** As negotiated, bytes. */
    readonly size: number,
  ) {
    this.closed = this.#receive().catch((error: unknown) => {
      const reason = error instanceof Error ? error : new Error(String(error));
      for (const { fail } of this.#waiting.values()) fail(reason);
      this.#waiting.clear();
    });
  }

  static async open(socketPath: string, name = 'loop0'): Promise<NbdRequests> {
    const socket = connect(socketPath);
    await once(socket, 'connect');
    socket.on('error', () => {});
    const client = new HandshakeClient(socket);
    await client.greet();
    client.send(option(EXPORT_NAME, Buffer.from(name)));
    return new NbdRequests(client, Number((await client.read(10)).readBigUInt64BE(0)));
  }

  read(offset: number, length: number): Promise<Answer> {
    return this.#ask(Cmd.READ, { offset, length });
  }

  async write(offset: number, data: Buffer, { fua = false } = {}): Promise<number> {
    return (await this.#ask(Cmd.WRITE, { offset, length: data.length, data, flags: fua ? CmdFlag.FUA : 0 }))
      .error;
  }

  async flush(): Promise<number> {
    return (await this.#ask(Cmd.FLUSH, { offset: 0, length: 0 })).error;
  }

  async trim(offset: number, length: number): Promise<number> {
    return (await this.#ask(Cmd.TRIM, { offset, length })).error;
  }

  async zero(offset: number, length: number): Promise<number> {
    return (await this.#ask(Cmd.WRITE_ZEROES, { offset, length })).error;
  }

  /** Says goodbye, and waits for the end. */
  async leave(): Promise<void> {
    this.#send(Cmd.DISC, 0, { offset: 0, length: 0 });
    this.client.stream.end();
    await this.closed;
  }

  destroy(): void {
    this.client.stream.destroy();
  }

  #ask(type: number, what: Asked): Promise<Answer> {
    const cookie = ++this.#lastCookie;
    return new Promise((settle, fail) => {
      this.#waiting.set(cookie, { bytes: type === Cmd.READ ? what.length : 0, settle, fail });
      this.#send(type, cookie, what);
    });
  }

  #send(type: number, cookie: number, { offset, length, data = Buffer.alloc(0), flags = 0 }: Asked): void {
    const place = Buffer.alloc(16);
    place.writeBigUInt64BE(BigInt(cookie), 0);
    place.writeBigUInt64BE(BigInt(offset), 8);
    this.client.send(u32(0x25609513), u16(flags), u16(type), place, u32(length), data);
  }

  async #receive(): Promise<never> {
    for (;;) {
      const header = await this.client.read(16);
      if (header.readUInt32BE(0) !== REPLY_MAGIC) throw new Error('this is no simple reply');
      const cookie = Number(header.readBigUInt64BE(8));
      const waiting = this.#waiting.get(cookie);
      if (waiting === undefined) throw new Error(`nobody waits for ${cookie}`);
      this.#waiting.delete(cookie);
      const error = header.readUInt32BE(4);
      waiting.settle({ error, data: error === 0 ? await this.client.read(waiting.bytes) : Buffer.alloc(0) });
    }
  }
}

interface Asked {
  readonly offset: number;
  readonly length: number;
  readonly data?: Buffer;
  readonly flags?: number;
}
