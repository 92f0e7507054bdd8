/**
 * The client's side of the handshake ("Newstyle negotiation"), over any stream: up to an export whose requests may
 * follow. Simple replies only, since that is what the kernel's driver reads.
 */

import type { Duplex } from 'node:stream';
import { ByteStream } from '../../server/negotiation/byte-stream.js';
import {
  decodeExportNameReply,
  decodeGreeting,
  decodeInfo,
  decodeOptionReply,
  encodeClientFlags,
  encodeInfoRequest,
  encodeOption,
  exportNameReplyBytes,
  isRefusal,
  type ToldOfExport,
} from '../../server/wire/client.js';
import { HandshakeFlag, Info, MAX_STRING, Opt, Rep, Size } from '../../server/wire/constants.js';
import { decodeText } from '../../server/wire/text.js';
import { type ErrnoName, LoopError } from '../errno.js';
import { type ExportFacts, LARGEST_BLOCK, uuidIn } from './facts.js';

export interface HandshakeOptions {
  /** '' is the server's default export. */
  readonly exportName: string;
  /** Turns the stream into one over TLS when the server has agreed; absent: plain. */
  readonly startTls?: (() => Promise<Duplex>) | undefined;
  readonly signal: AbortSignal;
}

/** Longest data of a reply that a well-behaved server sends: a string of the protocol, and numbers before it. */
const MAX_REPLY = MAX_STRING + 1024;
/** What is assumed of a server that tells nothing ("Block size constraints"), bytes. */
const ASSUMED_MAXIMUM = 32 * 1024 * 1024;
const INFORMATION = [Info.NAME, Info.DESCRIPTION, Info.BLOCK_SIZE];

/**
 * Throws a LoopError that says what the server lacks: EPROTO for what is no NBD server of today, ENOENT for an unknown
 * export, EPERM where TLS is required or refused, ECONNRESET when it ends. The stream is the caller's again, and nothing was
 * received beyond the handshake.
 */
export async function shakeHands(stream: Duplex, options: HandshakeOptions): Promise<ExportFacts> {
  const { exportName, startTls, signal } = options;
  let talk = new Talk(stream, signal);
  try {
    const handshakeFlags = await talk.greet();
    const isFixed = (handshakeFlags & HandshakeFlag.FIXED_NEWSTYLE) !== 0;
    if (startTls !== undefined) {
      if (!isFixed) throw new LoopError('EPERM', 'the server knows no TLS');
      await talk.askForTls();
      talk.end();
      talk = new Talk(await startTls(), signal);
    }
    const told = isFixed ? await talk.go(exportName) : undefined;
    return factsOf(told ?? (await talk.takeByName(exportName, handshakeFlags)));
  } finally {
    talk.end();
  }
}

class Talk {
  readonly #bytes: ByteStream;

  constructor(
    stream: Duplex,
    private readonly signal: AbortSignal,
  ) {
    this.#bytes = new ByteStream(stream, signal);
  }

  end(): void {
    this.#bytes.detach();
  }

  /** Returns the server's handshake flags. */
  async greet(): Promise<number> {
    const flags = decodeGreeting(await this.#take(Size.GREETING));
    if (flags === undefined) throw new LoopError('EPROTO', 'what listens there is no NBD server of today');
    await this.#send(encodeClientFlags(flags));
    return flags;
  }

  async askForTls(): Promise<void> {
    await this.#send(encodeOption(Opt.STARTTLS));
    const { type, data } = await this.#reply(Opt.STARTTLS);
    if (type !== Rep.ACK) throw new LoopError('EPERM', `the server refuses TLS${said(data)}`);
  }

  /** Undefined where the server does not know GO. */
  async go(name: string): Promise<ToldOfExport | undefined> {
    await this.#send(encodeOption(Opt.GO, encodeInfoRequest(name, INFORMATION)));
    let told: ToldOfExport = {};
    for (;;) {
      const { type, data } = await this.#reply(Opt.GO);
      if (type === Rep.ACK) return told;
      if (type === Rep.ERR_UNSUP) return undefined;
      if (isRefusal(type)) throw refusalOf(type, name, data);
      const item = type === Rep.INFO ? decodeInfo(data) : undefined;
      if (item === undefined) throw malformed();
      told = { ...told, ...item };
    }
  }

  /** The old way, whose answer to what it does not like is the end of the connection. */
  async takeByName(name: string, handshakeFlags: number): Promise<ToldOfExport> {
    await this.#send(encodeOption(Opt.EXPORT_NAME, Buffer.from(name)));
    return decodeExportNameReply(await this.#take(exportNameReplyBytes(handshakeFlags)));
  }

  async #reply(option: number): Promise<{ readonly type: number; readonly data: Buffer }> {
    const header = decodeOptionReply(await this.#take(Size.OPTION_REPLY_HEADER));
    if (header === undefined || header.option !== option || header.length > MAX_REPLY) throw malformed();
    return { type: header.type, data: await this.#take(header.length) };
  }

  async #take(length: number): Promise<Buffer> {
    const bytes = await this.#bytes.take(length);
    if (bytes === undefined) throw this.#gone();
    return bytes;
  }

  async #send(bytes: Buffer): Promise<void> {
    if (!(await this.#bytes.write(bytes))) throw this.#gone();
  }

  #gone(): LoopError {
    const { aborted, reason } = this.signal;
    if (aborted && reason instanceof LoopError) return reason;
    return new LoopError('ECONNRESET', 'the server ended the connection during the handshake');
  }
}

const malformed = (): LoopError =>
  new LoopError('EPROTO', 'the server answers what the protocol does not know');

const REFUSALS: Readonly<Record<number, readonly [ErrnoName, string]>> = {
  [Rep.ERR_TLS_REQD]: ['EPERM', 'the server requires TLS (nbds://)'],
  [Rep.ERR_POLICY]: ['EPERM', 'the server does not allow it'],
  [Rep.ERR_SHUTDOWN]: ['ECONNABORTED', 'the server is shutting down'],
  [Rep.ERR_BLOCK_SIZE_REQD]: ['EINVAL', 'the server wants block sizes to be heeded'],
  [Rep.ERR_EXT_HEADER_REQD]: ['EOPNOTSUPP', 'the server wants extended headers, which no kernel speaks'],
};

function refusalOf(type: number, name: string, data: Buffer): LoopError {
  if (type === Rep.ERR_UNKNOWN) {
    const what = name === '' ? 'no default export' : `no export ${JSON.stringify(name)}`;
    return new LoopError('ENOENT', `the server has ${what}${said(data)}`);
  }
  const [errno, sentence] = REFUSALS[type] ?? ['EINVAL', 'the server refuses the export'];
  return new LoopError(errno, `${sentence}${said(data)}`);
}

/** What a refusal tells a human. */
function said(data: Buffer): string {
  const text = decodeText(data)?.trim() ?? '';
  // A sentence of a stranger's for a log and a terminal.
  const plain = text.replace(/[^\x20-\x7e]+/g, ' ').slice(0, 200);
  return plain === '' ? '' : ` ("${plain}")`;
}

function factsOf(told: ToldOfExport): ExportFacts {
  const { size, flags, blockSizes, description } = told;
  if (size === undefined || flags === undefined) throw malformed();
  if (size > BigInt(Number.MAX_SAFE_INTEGER)) throw new LoopError('EFBIG', 'the export is beyond 2^53 bytes');
  const minimumBlock = blockSizes?.minimum ?? 1;
  const isPower = minimumBlock > 0 && (minimumBlock & (minimumBlock - 1)) === 0;
  if (!isPower) throw malformed();
  if (minimumBlock > LARGEST_BLOCK) {
    throw new LoopError(
      'EOPNOTSUPP',
      `the export wants blocks of ${minimumBlock} bytes, and the kernel's driver knows ${LARGEST_BLOCK} at most`,
    );
  }
  return {
    size: Number(size),
    flags,
    minimumBlock,
    // 2^32 - 1: no limit ("NBD_INFO_BLOCK_SIZE").
    maximumBlock: Math.max(minimumBlock, blockSizes?.maximum ?? ASSUMED_MAXIMUM),
    uuid: uuidIn(description),
    description: description ?? null,
  };
}
