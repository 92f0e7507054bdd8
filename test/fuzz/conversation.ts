/** Judges a handshake from nothing but the bytes of both sides; throws where the server broke the protocol. */
import type { ReplyMode } from '../../server/negotiation/outcome.js';
import { Opt, Rep, Size } from '../../server/wire/constants.js';

const GREETING = Buffer.from('4e42444d4147494349484156454f50540003', 'hex');
const OPTION_MAGIC = Buffer.from('IHAVEOPT');
const REPLY_MAGIC = Buffer.from('0003e889045565a9', 'hex');
const INFORMATION: readonly number[] = [Rep.SERVER, Rep.INFO, Rep.META_CONTEXT];
const isError = (type: number): boolean => type >= 0x8000_0000;

export interface JudgedHandshake {
  /** 'over': the server said no more than this. */
  readonly end: 'transmission' | 'over';
  readonly mode: ReplyMode;
  /** Bytes of each side that belong to the handshake. */
  readonly sent: number;
  readonly received: number;
  /** What happened, for telling one conversation from another. */
  readonly marks: readonly string[];
}

function fail(what: string): never {
  throw new Error(`the server broke the handshake: ${what}`);
}

interface Sides {
  readonly sent: Buffer;
  readonly received: Buffer;
  readonly marks: string[];
  mode: ReplyMode;
  sentAt: number;
  receivedAt: number;
}

export function judgeHandshake(sent: Buffer, received: Buffer): JudgedHandshake {
  if (!received.subarray(0, GREETING.length).equals(GREETING)) fail('no greeting');
  const sides: Sides = { sent, received, marks: [], mode: 'simple', sentAt: 4, receivedAt: GREETING.length };
  const flags = sent.length < 4 ? undefined : sent.readUInt32BE(0);
  let end: 'transmission' | 'over' | 'more' = flags === undefined || flags > 3 ? 'over' : 'more';
  while (end === 'more') end = judgeOption(sides, flags ?? 0);
  if (end === 'over' && sides.receivedAt !== received.length) fail('it went on behind its end');
  return { end, mode: sides.mode, sent: sides.sentAt, received: sides.receivedAt, marks: sides.marks };
}

function judgeOption(sides: Sides, flags: number): 'transmission' | 'over' | 'more' {
  const { sent, received, marks } = sides;
  const header = sent.subarray(sides.sentAt, sides.sentAt + Size.OPTION_HEADER);
  if (header.length < Size.OPTION_HEADER || !header.subarray(0, 8).equals(OPTION_MAGIC)) return 'over';
  const option = header.readUInt32BE(8);
  const end = sides.sentAt + Size.OPTION_HEADER + header.readUInt32BE(12);
  if (end > sent.length) return 'over';
  if (sides.receivedAt === received.length) {
    marks.push(`option ${option} dropped`);
    return 'over';
  }
  sides.sentAt = end;
  if (option === Opt.EXPORT_NAME) {
    sides.receivedAt += 10 + ((flags & 2) !== 0 ? 0 : Size.EXPORT_NAME_ZEROES);
    if (sides.receivedAt > received.length) fail('half a reply to EXPORT_NAME');
    marks.push('EXPORT_NAME');
    return 'transmission';
  }
  const type = judgeReplies(sides, option);
  if (type !== Rep.ACK) return 'more';
  if (option === Opt.STRUCTURED_REPLY && sides.mode === 'simple') sides.mode = 'structured';
  if (option === Opt.EXTENDED_HEADERS) sides.mode = 'extended';
  if (option === Opt.GO) return 'transmission';
  return option === Opt.ABORT || option === Opt.STARTTLS ? 'over' : 'more';
}

/** The type of the final reply to an option. */
function judgeReplies(sides: Sides, option: number): number {
  const { received, marks } = sides;
  for (;;) {
    const header = received.subarray(sides.receivedAt, sides.receivedAt + Size.OPTION_REPLY_HEADER);
    if (header.length < Size.OPTION_REPLY_HEADER) fail(`no final reply to option ${option}`);
    if (!header.subarray(0, 8).equals(REPLY_MAGIC)) fail('no magic of an option reply');
    if (header.readUInt32BE(8) !== option) fail(`a reply to option ${header.readUInt32BE(8)}, not ${option}`);
    const type = header.readUInt32BE(12);
    sides.receivedAt += Size.OPTION_REPLY_HEADER + header.readUInt32BE(16);
    if (sides.receivedAt > received.length) fail('half a reply');
    marks.push(`option ${option} ${type}`);
    if (type === Rep.ACK || isError(type)) return type;
    if (!INFORMATION.includes(type)) fail(`reply type ${type}`);
  }
}
