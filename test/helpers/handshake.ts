/** A client of the handshake, written out byte by byte: the naive twin of server/wire and server/negotiation. */

import { type Duplex, duplexPair } from 'node:stream';
import type { Test } from 'tap';
import { negotiate } from '../../server/negotiation/negotiate.js';
import { DEFAULT_LIMITS, type NegotiationOptions } from '../../server/negotiation/options.js';
import type { NegotiationOutcome } from '../../server/negotiation/outcome.js';
import { FakeExport, fakeTable } from './fake-exports.js';

export interface OptionReply {
  readonly option: number;
  readonly type: number;
  readonly data: Buffer;
}

const ACK = 1;
const isFinal = ({ type }: OptionReply): boolean => type === ACK || type >= 0x80000000;

export const u16 = (value: number): Buffer => Buffer.from([value >> 8, value & 255]);
export const u32 = (value: number): Buffer => Buffer.concat([u16(value >>> 16), u16(value & 0xffff)]);
/** A string behind its 32-bit length. */
export const text = (value: string): Buffer =>
  Buffer.concat([u32(Buffer.byteLength(value)), Buffer.from(value)]);

/** Bytes of an option; `length` lies about the data when given. */
export const option = (number: number, data: Buffer = Buffer.alloc(0), length = data.length): Buffer =>
  Buffer.concat([Buffer.from('IHAVEOPT'), u32(number), u32(length), data]);

/** Data of INFO and GO. */
export const infoData = (name: string, items: readonly number[] = []): Buffer =>
  Buffer.concat([text(name), u16(items.length), ...items.map(u16)]);

/** Data of LIST_META_CONTEXT and SET_META_CONTEXT. */
export const contextData = (name: string, queries: readonly string[]): Buffer =>
  Buffer.concat([text(name), u32(queries.length), ...queries.map(text)]);

export class HandshakeClient {
  #received: Buffer[] = [];
  #ended = false;
  #wake: () => void = () => {};

  constructor(readonly stream: Duplex) {
    stream.on('data', (bytes: Buffer) => {
      this.#received.push(bytes);
      this.#wake();
    });
    for (const event of ['end', 'close', 'error']) {
      stream.on(event, () => {
        this.#ended = true;
        this.#wake();
      });
    }
  }

  send(...parts: Buffer[]): void {
    this.stream.write(Buffer.concat(parts));
  }

  /** Exactly `length` bytes; throws when the server ends before. */
  async read(length: number): Promise<Buffer> {
    for (;;) {
      const all = Buffer.concat(this.#received);
      if (all.length >= length) {
        this.#received = [all.subarray(length)];
        return all.subarray(0, length);
      }
      if (this.#ended) throw new Error(`the server ended after ${all.length} of ${length} bytes`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** What is there and was not read. */
  get unread(): Buffer {
    return Buffer.concat(this.#received);
  }

  /** Reads the greeting and answers with client flags: FIXED_NEWSTYLE and NO_ZEROES unless told otherwise. */
  async greet(flags = 3): Promise<void> {
    await this.read(18);
    this.send(u32(flags));
  }

  async reply(): Promise<OptionReply> {
    const header = await this.read(20);
    if (header.subarray(0, 8).toString('hex') !== '0003e889045565a9') throw new Error('no reply magic');
    const data = await this.read(header.readUInt32BE(16));
    return { option: header.readUInt32BE(8), type: header.readUInt32BE(12), data };
  }

  /** Sends an option and reads its replies to the final one. */
  async ask(number: number, data?: Buffer): Promise<OptionReply[]> {
    this.send(option(number, data));
    const replies = [await this.reply()];
    for (let last = replies[0]; last && !isFinal(last); ) {
      last = await this.reply();
      replies.push(last);
    }
    return replies;
  }

  /** The type of an option's only reply. */
  async askOne(number: number, data?: Buffer): Promise<number> {
    const replies = await this.ask(number, data);
    if (replies.length !== 1 || replies[0]?.option !== number) throw new Error('not one reply to the option');
    return replies[0].type;
  }
}

export interface Handshake {
  readonly client: HandshakeClient;
  /** The server's end of the connection. */
  readonly server: Duplex;
  readonly outcome: Promise<NegotiationOutcome>;
  readonly exports: readonly [FakeExport, FakeExport];
  /** The deadline. */
  readonly controller: AbortController;
}

export const CONTEXTS = [
  { id: 1, name: 'base:allocation' },
  { id: 2, name: 'nbdloop:dirty' },
] as const;

/** Options of `negotiate` with two exports, `loop0` and `loop1`, and everything at its default. */
export const handshakeOptions = (
  over: Partial<NegotiationOptions> = {},
): NegotiationOptions & { readonly fakes: readonly [FakeExport, FakeExport] } => {
  const fakes = [new FakeExport('loop0'), new FakeExport('loop1')] as const;
  return {
    fakes,
    exports: fakeTable(...fakes),
    tls: 'off',
    readOnly: false,
    contexts: CONTEXTS,
    limits: DEFAULT_LIMITS,
    draining: () => false,
    signal: new AbortController().signal,
    ...over,
  };
};

/** Starts a server on one end of a pair in memory. Like a server does, it hangs up after `closed` and `dropped`. */
export const handshake = (t: Test, over: Partial<NegotiationOptions> = {}): Handshake => {
  const [server, near] = duplexPair();
  const controller = new AbortController();
  const options = handshakeOptions({ signal: controller.signal, ...over });
  server.on('error', () => {});
  const client = new HandshakeClient(near);
  const outcome = negotiate(server, options).then((ending) => {
    if (ending.kind === 'closed' || ending.kind === 'dropped') server.destroy();
    return ending;
  });
  t.teardown(() => {
    server.destroy();
    near.destroy();
  });
  return { client, server, outcome, exports: options.fakes, controller };
};
