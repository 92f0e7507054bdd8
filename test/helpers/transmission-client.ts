/**
 * A client of the transmission phase, written out byte by byte with BigInt: the naive twin of server/wire's hot
 * codecs, and a strict judge of replies. It throws where a server breaks the protocol.
 */
import type { ReplyMode } from '../../server/negotiation/outcome.js';
import { Cmd, CmdFlag } from '../../server/wire/constants.js';

/** A request as a client means it; what is left out is 0. */
export interface Ask {
  readonly type: number;
  readonly flags?: number;
  readonly cookie?: bigint;
  readonly offset?: number | bigint;
  readonly length?: number | bigint;
  /** Follows the header as it is, whatever `length` says. */
  readonly payload?: Buffer;
}

export const REQUEST_MAGIC = 0x25609513;
export const EXTENDED_REQUEST_MAGIC = 0x21e41c71;
const SIMPLE_REPLY_MAGIC = 0x67446698;
const STRUCTURED_REPLY_MAGIC = 0x668e33ef;
const EXTENDED_REPLY_MAGIC = 0x6e8a278c;

/** Bytes of a request header. */
export const headerBytes = (mode: ReplyMode): number => (mode === 'extended' ? 32 : 28);

/** Bytes of a request, payload included. */
export function encodeAsk(mode: ReplyMode, ask: Ask): Buffer {
  const header = Buffer.alloc(headerBytes(mode));
  header.writeUInt32BE(mode === 'extended' ? EXTENDED_REQUEST_MAGIC : REQUEST_MAGIC, 0);
  header.writeUInt16BE(ask.flags ?? 0, 4);
  header.writeUInt16BE(ask.type, 6);
  header.writeBigUInt64BE(ask.cookie ?? 0n, 8);
  header.writeBigUInt64BE(BigInt(ask.offset ?? 0), 16);
  const length = BigInt(ask.length ?? ask.payload?.length ?? 0);
  if (mode === 'extended') header.writeBigUInt64BE(length, 24);
  else header.writeUInt32BE(Number(length), 24);
  return ask.payload === undefined ? header : Buffer.concat([header, ask.payload]);
}

/** True when the bytes of `length` follow the header. */
export const hasPayload = (mode: ReplyMode, type: number, flags: number): boolean =>
  type === Cmd.WRITE || (mode === 'extended' && (flags & CmdFlag.PAYLOAD_LEN) !== 0);

/** A request as a server sees it. */
export type Asked = Required<Omit<Ask, 'offset' | 'length'>> & {
  readonly offset: bigint;
  readonly length: bigint;
  /** Bytes of the stream it took, payload included. */
  readonly bytes: number;
};

/** A payload longer than this ends the session: no one could drain it. Bytes. */
const MAX_DRAIN = 0xffff_ffff;

/**
 * The request at the start of `stream`: undefined when it is not all there, 'broken' without its magic or with a
 * payload beyond all bounds.
 */
export function decodeAsk(mode: ReplyMode, stream: Buffer): Asked | 'broken' | undefined {
  const header = headerBytes(mode);
  if (stream.length < header) return undefined;
  const magic = mode === 'extended' ? EXTENDED_REQUEST_MAGIC : REQUEST_MAGIC;
  if (stream.readUInt32BE(0) !== magic) return 'broken';
  const flags = stream.readUInt16BE(4);
  const type = stream.readUInt16BE(6);
  const length = mode === 'extended' ? stream.readBigUInt64BE(24) : BigInt(stream.readUInt32BE(24));
  const bytes = header + (hasPayload(mode, type, flags) ? Number(length) : 0);
  if (bytes - header > MAX_DRAIN) return 'broken';
  if (stream.length < bytes) return undefined;
  const cookie = stream.readBigUInt64BE(8);
  const offset = stream.readBigUInt64BE(16);
  return { type, flags, cookie, offset, length, payload: stream.subarray(header, bytes), bytes };
}

/** The requests of a stream that are complete, up to one that ends the session. */
export function decodeAsks(mode: ReplyMode, stream: Buffer): { asks: Asked[]; isClean: boolean } {
  const asks: Asked[] = [];
  for (let at = 0; ; ) {
    const asked = decodeAsk(mode, stream.subarray(at));
    if (asked === undefined) return { asks, isClean: true };
    if (asked === 'broken') return { asks, isClean: false };
    asks.push(asked);
    at += asked.bytes;
    if (asked.type === Cmd.DISC) return { asks, isClean: at === stream.length };
  }
}

/** A run of the device as BLOCK_STATUS tells it: bytes and `AllocationFlag` bits. */
export type Run = readonly [length: bigint, flags: number];

/** A whole reply, chunks put together. */
export interface Reply {
  readonly cookie: bigint;
  /** Errno of the wire, 0 for success. */
  readonly error: number;
  /** What an error chunk says to a person. */
  readonly text: string;
  /** Content of a READ that succeeded, holes filled in. */
  readonly data: Buffer | undefined;
  /** How the content came, e.g. 'data 4096, hole 65536'. */
  readonly shape: string;
  /** Runs by context id. */
  readonly extents: ReadonlyMap<number, readonly Run[]>;
}

class Stream {
  at = 0;
  constructor(readonly bytes: Buffer) {}
  take(count: number): Buffer | undefined {
    if (this.at + count > this.bytes.length) return undefined;
    this.at += count;
    return this.bytes.subarray(this.at - count, this.at);
  }
  /** The 32 bits that are next. */
  peek(): number | undefined {
    return this.at + 4 > this.bytes.length ? undefined : this.bytes.readUInt32BE(this.at);
  }
}

function fail(what: string): never {
  throw new Error(`the server broke the protocol: ${what}`);
}

interface Building {
  readonly ask: Ask;
  readonly pieces: { offset: bigint; length: bigint; data: Buffer | undefined }[];
  readonly extents: Map<number, readonly Run[]>;
  error: number;
  text: string;
}

/** Reads the replies to requests that were sent in order; cookies need not differ, as the server keeps the order. */
export class ReplyReader {
  readonly #waiting: Ask[] = [];
  /** By cookie: chunks of several replies may come mixed. */
  readonly #building = new Map<bigint, Building>();
  #rest: Buffer = Buffer.alloc(0);

  /** A server that has sent a reply's first bytes ahead must keep to their form. */
  allowsAnyForm = false;

  constructor(readonly mode: ReplyMode) {}

  /** These were sent; DISC has no reply. */
  expect(...asks: readonly Ask[]): void {
    this.#waiting.push(...asks.filter(({ type }) => type !== Cmd.DISC));
  }

  /** Requests without a whole reply. */
  get unanswered(): number {
    return this.#waiting.length;
  }

  /** Bytes of a reply that is not complete. */
  get incomplete(): number {
    return this.#rest.length;
  }

  /** The replies that are complete with these bytes. */
  read(bytes: Buffer): Reply[] {
    const stream = new Stream(Buffer.concat([this.#rest, bytes]));
    const replies: Reply[] = [];
    for (;;) {
      const start = stream.at;
      const step = this.mode === 'simple' ? this.#simple(stream) : this.#structured(stream);
      if (step === undefined) {
        this.#rest = stream.bytes.subarray(start);
        return replies;
      }
      if (step !== 'more') replies.push(step);
    }
  }

  /** The request that is answered becomes the first: what was started is answered when it is done. */
  #next(cookie: bigint): Ask {
    const index = this.#waiting.findIndex((ask) => (ask.cookie ?? 0n) === cookie);
    const [ask = fail(`cookie ${cookie} in a reply to no request`)] =
      index < 0 ? [] : this.#waiting.splice(index, 1);
    this.#waiting.unshift(ask);
    return ask;
  }

  #simple(stream: Stream): Reply | undefined {
    const header = stream.take(16);
    if (header === undefined) return undefined;
    if (header.readUInt32BE(0) !== SIMPLE_REPLY_MAGIC) fail('no magic of a simple reply');
    const error = header.readUInt32BE(4);
    const cookie = header.readBigUInt64BE(8);
    const ask = this.#next(cookie);
    if (this.mode === 'structured' && ask.type === Cmd.READ) fail('a simple reply to READ');
    let data: Buffer | undefined;
    if (ask.type === Cmd.READ && error === 0) {
      data = stream.take(Number(ask.length ?? 0));
      if (data === undefined) return undefined;
    }
    this.#waiting.shift();
    return { cookie, error, text: '', data, shape: data ? `data ${data.length}` : '', extents: new Map() };
  }

  /** With structured replies, success without data is told by a simple one. */
  #structured(stream: Stream): Reply | 'more' | undefined {
    if (this.mode === 'extended' || stream.peek() !== SIMPLE_REPLY_MAGIC) return this.#chunk(stream);
    const reply = this.#simple(stream);
    if (reply === undefined) return undefined;
    if (reply.data !== undefined) fail('a simple reply with data');
    if (reply.error !== 0 && !this.allowsAnyForm) fail('a simple reply with an error');
    if (this.#building.has(reply.cookie)) fail('a simple reply between chunks');
    return reply;
  }

  #chunk(stream: Stream): Reply | 'more' | undefined {
    const isExtended = this.mode === 'extended';
    const header = stream.take(isExtended ? 32 : 20);
    if (header === undefined) return undefined;
    const magic = isExtended ? EXTENDED_REPLY_MAGIC : STRUCTURED_REPLY_MAGIC;
    if (header.readUInt32BE(0) !== magic) fail('no magic of a reply chunk');
    const flags = header.readUInt16BE(4);
    if ((flags & ~1) !== 0) fail(`chunk flags ${flags}`);
    const length = isExtended ? header.readBigUInt64BE(24) : BigInt(header.readUInt32BE(16));
    const payload = stream.take(Number(length));
    if (payload === undefined) return undefined;
    const ask = this.#next(header.readBigUInt64BE(8));
    if (isExtended && header.readBigUInt64BE(16) !== BigInt(ask.offset ?? 0)) fail('another offset');
    const cookie = ask.cookie ?? 0n;
    const building = this.#building.get(cookie) ?? {
      ask,
      pieces: [],
      extents: new Map(),
      error: 0,
      text: '',
    };
    this.#building.set(cookie, building);
    this.#add(building, header.readUInt16BE(6), payload, flags);
    if (flags === 0) return 'more';
    const reply = finish(building);
    this.#building.delete(cookie);
    this.#waiting.shift();
    return reply;
  }

  #add(building: Building, type: number, payload: Buffer, flags: number): void {
    if (building.error !== 0) fail('a chunk behind an error');
    const { ask } = building;
    if (type === 0) {
      if (payload.length !== 0 || flags !== 1) fail('NONE with a payload, or not last');
      const isShort = this.mode === 'structured' && ask.type !== Cmd.READ;
      if (isShort && !this.allowsAnyForm) fail('NONE where a simple reply is shorter');
    } else if (type === 1) {
      if (payload.length <= 8) fail('OFFSET_DATA without data');
      const data = payload.subarray(8);
      building.pieces.push({ offset: payload.readBigUInt64BE(0), length: BigInt(data.length), data });
    } else if (type === 2) {
      if (payload.length !== 12 || payload.readUInt32BE(8) === 0) fail('OFFSET_HOLE of a wrong size');
      const length = BigInt(payload.readUInt32BE(8));
      building.pieces.push({ offset: payload.readBigUInt64BE(0), length, data: undefined });
    } else if (type === (this.mode === 'extended' ? 6 : 5)) {
      if (ask.type !== Cmd.BLOCK_STATUS) fail('BLOCK_STATUS unasked');
      const context = payload.readUInt32BE(0);
      if (building.extents.has(context)) fail(`context ${context} twice`);
      building.extents.set(context, this.#runs(payload));
    } else if (type === 0x8001) {
      const length = payload.readUInt16BE(4);
      if (payload.length !== 6 + length) fail('ERROR of a wrong size');
      building.error = payload.readUInt32BE(0) || fail('an error of 0');
      building.text = payload.toString('utf8', 6);
    } else {
      fail(`chunk type ${type}`);
    }
  }

  #runs(payload: Buffer): Run[] {
    const runs: Run[] = [];
    if (this.mode === 'extended') {
      if (payload.length !== 8 + 16 * payload.readUInt32BE(4)) fail('another count of extents');
      for (let at = 8; at < payload.length; at += 16) {
        runs.push([payload.readBigUInt64BE(at), Number(payload.readBigUInt64BE(at + 8))]);
      }
    } else {
      for (let at = 4; at < payload.length; at += 8) {
        runs.push([BigInt(payload.readUInt32BE(at)), payload.readUInt32BE(at + 4)]);
      }
    }
    if (runs.length === 0 || runs.some(([length]) => length === 0n)) fail('no extent, or an empty one');
    return runs;
  }
}

function finish({ ask, pieces, extents, error, text }: Building): Reply {
  const cookie = ask.cookie ?? 0n;
  const shape = pieces.map(({ data, length }) => `${data ? 'data' : 'hole'} ${length}`).join(', ');
  const none = { cookie, error, text, shape, extents, data: undefined };
  if (error !== 0) return none;
  if (ask.type === Cmd.BLOCK_STATUS && extents.size === 0) fail('a BLOCK_STATUS without extents');
  if (ask.type !== Cmd.READ) return none;
  const length = Number(ask.length ?? 0);
  const whole = Buffer.alloc(length);
  let covered = 0;
  for (const piece of pieces) {
    const at = Number(piece.offset - BigInt(ask.offset ?? 0));
    if (at !== covered) fail(`content for ${at} where ${covered} is next`);
    covered += Number(piece.length);
    if (covered > length) fail('more content than asked for');
    piece.data?.copy(whole, at);
  }
  if (covered !== length) fail(`${covered} of ${length} bytes`);
  return { ...none, data: whole };
}
