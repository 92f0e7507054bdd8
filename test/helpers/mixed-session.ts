/**
 * A session with many requests of all kinds outstanding, over a real socket, in any reply mode and over TLS: each reply is
 * told by its cookie, in whatever order and however mixed the chunks come. Throws where the server breaks the protocol.
 */
import { once } from 'node:events';
import { connect as connectPlain } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import type { ReplyMode } from '../../server/negotiation/outcome.js';
import { Cmd, CmdFlag, Opt, Rep } from '../../server/wire/constants.js';
import { contextData, HandshakeClient, infoData } from './handshake.js';
import { type Ask, encodeAsk, type Run } from './transmission-client.js';

export interface Answer {
  /** Errno of the wire, 0 for success. */
  readonly error: number;
  /** Content of a READ that succeeded, holes filled in; empty for others. */
  readonly data: Buffer;
  /** Bytes of it that came as holes. */
  readonly holes: number;
  /** Chunks with content. */
  readonly pieces: number;
  /** Runs by context id. */
  readonly extents: ReadonlyMap<number, readonly Run[]>;
}

export interface MixedOptions {
  readonly mode: ReplyMode;
  readonly name?: string;
  readonly tls?: boolean;
}

const SIMPLE = 0x67446698;
const STRUCTURED = 0x668e33ef;
const EXTENDED = 0x6e8a278c;
const NONE = Buffer.alloc(0);

/** A request without its whole reply. */
class Outstanding {
  error = 0;
  holes = 0;
  pieces = 0;
  /** Bytes of content that came. */
  covered = 0;
  readonly data: Buffer;
  readonly extents = new Map<number, readonly Run[]>();

  constructor(
    readonly ask: Ask,
    readonly settle: (answer: Answer) => void,
    readonly reject: (error: Error) => void,
  ) {
    this.data = ask.type === Cmd.READ ? Buffer.alloc(Number(ask.length ?? 0)) : NONE;
  }
}

/** What was received, taken in pieces of a known length. */
class Received {
  #pieces: Buffer[] = [];
  #length = 0;

  add(bytes: Buffer): void {
    this.#pieces.push(bytes);
    this.#length += bytes.length;
  }

  /** Undefined when there is less. */
  take(count: number): Buffer | undefined {
    if (this.#length < count) return undefined;
    const all = this.#pieces.length === 1 ? (this.#pieces[0] ?? NONE) : Buffer.concat(this.#pieces);
    this.#pieces = all.length > count ? [all.subarray(count)] : [];
    this.#length -= count;
    return all.subarray(0, count);
  }
}

/** Takes what is next of a message; undefined: it is not all there yet. */
type Step = () => Step | undefined;

export class MixedSession implements AsyncDisposable {
  readonly #received = new Received();
  readonly #outstanding = new Map<bigint, Outstanding>();
  #lastCookie = 0n;
  #step: Step = () => this.#begin();
  #failure: Error | undefined;

  private constructor(
    readonly stream: Duplex,
    readonly mode: ReplyMode,
    unread: Buffer,
  ) {
    stream.removeAllListeners('data');
    this.#received.add(unread);
    stream.on('data', (bytes: Buffer) => this.#take(bytes));
    stream.once('close', () => this.#fail(new Error('the server closed the connection')));
  }

  static async open(socketPath: string, options: MixedOptions): Promise<MixedSession> {
    const { mode, name = 'loop0', tls = false } = options;
    const socket = connectPlain(socketPath);
    await once(socket, 'connect');
    let client = new HandshakeClient(socket);
    await client.greet();
    if (tls) {
      await acknowledged(client, Opt.STARTTLS);
      socket.removeAllListeners('data');
      const secure = connectTls({ socket, rejectUnauthorized: false });
      await once(secure, 'secureConnect');
      client = new HandshakeClient(secure);
    }
    if (mode !== 'simple') {
      await acknowledged(client, mode === 'extended' ? Opt.EXTENDED_HEADERS : Opt.STRUCTURED_REPLY);
      await acknowledged(client, Opt.SET_META_CONTEXT, contextData(name, ['base:allocation']));
    }
    await acknowledged(client, Opt.GO, infoData(name));
    return new MixedSession(client.stream, mode, client.unread);
  }

  /** Requests without their whole reply. */
  get outstanding(): number {
    return this.#outstanding.size;
  }

  /** Sends a request (its cookie is the session's to choose); the answer, whatever its errno. */
  ask(ask: Ask): Promise<Answer> {
    const cookie = ++this.#lastCookie;
    const isExtendedWrite = this.mode === 'extended' && ask.type === Cmd.WRITE;
    const flags = (ask.flags ?? 0) | (isExtendedWrite ? CmdFlag.PAYLOAD_LEN : 0);
    return new Promise((settle, reject) => {
      if (this.#failure !== undefined) return reject(this.#failure);
      this.#outstanding.set(cookie, new Outstanding({ ...ask, cookie }, settle, reject));
      this.stream.write(encodeAsk(this.mode, { ...ask, flags, cookie }));
    });
  }

  /** DISC, and the end of the stream. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.stream.destroyed) return;
    const closed = once(this.stream, 'close');
    this.stream.resume();
    this.stream.end(encodeAsk(this.mode, { type: Cmd.DISC }));
    await closed;
  }

  #fail(error: Error): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    this.stream.destroy();
    for (const { reject } of this.#outstanding.values()) reject(error);
    this.#outstanding.clear();
  }

  #take(bytes: Buffer): void {
    this.#received.add(bytes);
    try {
      for (let next = this.#step(); next !== undefined; next = next()) this.#step = next;
    } catch (error) {
      this.#fail(error as Error);
    }
  }

  #begin(): Step | undefined {
    const start = this.#received.take(4);
    if (start === undefined) return undefined;
    const magic = start.readUInt32BE(0);
    if (magic === SIMPLE && this.mode !== 'extended') return () => this.#simple();
    if (magic === STRUCTURED && this.mode === 'structured') return () => this.#chunk(16);
    if (magic === EXTENDED && this.mode === 'extended') return () => this.#chunk(28);
    throw new Error(`${this.mode} replies, and ${magic.toString(16)} in place of a magic number`);
  }

  #of(cookie: bigint): Outstanding {
    const found = this.#outstanding.get(cookie);
    if (found === undefined) throw new Error(`a reply to cookie ${cookie}, which is not outstanding`);
    return found;
  }

  #simple(): Step | undefined {
    const header = this.#received.take(12);
    if (header === undefined) return undefined;
    const cookie = header.readBigUInt64BE(4);
    const request = this.#of(cookie);
    request.error = header.readUInt32BE(0);
    const hasData = request.ask.type === Cmd.READ && request.error === 0;
    if (hasData && this.mode !== 'simple') throw new Error('a simple reply to a structured READ');
    return hasData ? () => this.#simpleData(cookie, request) : this.#end(cookie, request);
  }

  #simpleData(cookie: bigint, request: Outstanding): Step | undefined {
    const data = this.#received.take(request.data.length);
    if (data === undefined) return undefined;
    data.copy(request.data);
    request.covered = data.length;
    request.pieces = 1;
    return this.#end(cookie, request);
  }

  /** `bytes`: of the header behind its magic number. */
  #chunk(bytes: number): Step | undefined {
    const header = this.#received.take(bytes);
    if (header === undefined) return undefined;
    const [flags, type, cookie] = [header.readUInt16BE(0), header.readUInt16BE(2), header.readBigUInt64BE(4)];
    const length = bytes === 28 ? Number(header.readBigUInt64BE(20)) : header.readUInt32BE(12);
    const request = this.#of(cookie);
    if (flags > 1 || length > request.data.length + 65_536) throw new Error('a chunk that is none');
    return () => this.#content(cookie, request, { isLast: flags === 1, type, length });
  }

  #content(
    cookie: bigint,
    request: Outstanding,
    { isLast, type, length }: { isLast: boolean; type: number; length: number },
  ): Step | undefined {
    const payload = this.#received.take(length);
    if (payload === undefined) return undefined;
    if (request.error !== 0) throw new Error('a chunk behind an error');
    if (type === 1 || type === 2) this.#readContent(request, payload, type === 2);
    else if (type === 5 || type === 6) request.extents.set(payload.readUInt32BE(0), runsOf(payload, type));
    else if (type === 0x8001) request.error = payload.readUInt32BE(0);
    else if (type !== 0 || length !== 0 || !isLast) throw new Error(`a chunk of type ${type}`);
    return isLast ? this.#end(cookie, request) : () => this.#begin();
  }

  #readContent(request: Outstanding, payload: Buffer, isHole: boolean): void {
    const at = Number(payload.readBigUInt64BE(0) - BigInt(request.ask.offset ?? 0));
    const length = isHole ? payload.readUInt32BE(8) : payload.length - 8;
    if (at !== request.covered || length === 0 || at + length > request.data.length) {
      throw new Error(`${length} bytes for ${at} of a READ of which ${request.covered} are there`);
    }
    if (!isHole) payload.copy(request.data, at, 8);
    request.covered += length;
    if (isHole) request.holes += length;
    request.pieces++;
  }

  #end(cookie: bigint, request: Outstanding): Step {
    const { error, data, holes, pieces, extents, covered, ask } = request;
    if (error === 0 && covered !== data.length) throw new Error(`${covered} of ${data.length} bytes`);
    if (pieces > 1 && ((ask.flags ?? 0) & CmdFlag.DF) !== 0) throw new Error('pieces in spite of DF');
    this.#outstanding.delete(cookie);
    request.settle({ error, data, holes, pieces, extents });
    return () => this.#begin();
  }
}

function runsOf(payload: Buffer, type: number): Run[] {
  const runs: Run[] = [];
  if (type === 6) {
    for (let at = 8; at < payload.length; at += 16) {
      runs.push([payload.readBigUInt64BE(at), Number(payload.readBigUInt64BE(at + 8))]);
    }
  } else {
    for (let at = 4; at < payload.length; at += 8) {
      runs.push([BigInt(payload.readUInt32BE(at)), payload.readUInt32BE(at + 4)]);
    }
  }
  return runs;
}

async function acknowledged(client: HandshakeClient, option: number, data?: Buffer): Promise<void> {
  const last = (await client.ask(option, data)).at(-1);
  if (last?.type !== Rep.ACK) throw new Error(`option ${option} was refused`);
}
