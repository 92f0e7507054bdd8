/** What a session answers, written for reading and not for speed: the oracle of property tests and fuzzing. */
import type { ReplyMode } from '../../server/negotiation/outcome.js';
import { Cmd, CmdFlag, WireErrno } from '../../server/wire/constants.js';
import type { Asked, Reply } from './transmission-client.js';

const { EINVAL, ENOSPC, EPERM } = WireErrno;
const MAX_PAYLOAD = 32n << 20n;
const ZEROED: readonly number[] = [Cmd.TRIM, Cmd.WRITE_ZEROES];
/** The ids of `nbdloop:dirty` and `nbdloop:overlay`. */
const DIRTY_ID = 2;
const OVERLAY_ID = 3;
const MODIFYING: readonly number[] = [Cmd.WRITE, ...ZEROED];

export interface ReferenceOptions {
  readonly mode: ReplyMode;
  readonly size: number;
  readonly minimumBlock: number;
  readonly readOnly: boolean;
  /** Ids of the contexts BLOCK_STATUS may be asked for. */
  readonly contexts: readonly number[];
}

export class ReferenceSession {
  readonly content: Buffer;
  readonly #zeroes: Buffer;
  readonly #options: ReferenceOptions;
  readonly #flags: ReadonlyMap<number, number>;

  constructor(options: ReferenceOptions) {
    this.#options = options;
    this.content = Buffer.alloc(options.size);
    this.#zeroes = Buffer.alloc(options.size);
    const { FUA, DF, NO_HOLE, FAST_ZERO, REQ_ONE, PAYLOAD_LEN } = CmdFlag;
    this.#flags = new Map([
      [Cmd.READ, FUA | (options.mode === 'simple' ? 0 : DF)],
      [Cmd.WRITE, FUA | (options.mode === 'extended' ? PAYLOAD_LEN : 0)],
      [Cmd.FLUSH, FUA],
      [Cmd.TRIM, FUA],
      [Cmd.CACHE, FUA],
      [Cmd.WRITE_ZEROES, FUA | NO_HOLE | FAST_ZERO],
      [Cmd.BLOCK_STATUS, FUA | REQ_ONE | (options.mode === 'extended' ? PAYLOAD_LEN : 0)],
    ]);
  }

  /** Wire errno of a request, in the order of the checks. */
  error(asked: Asked): number {
    const { type, flags, offset } = asked;
    const { size, minimumBlock, readOnly } = this.#options;
    const { length, contexts } = this.#meant(asked);
    const known = this.#flags.get(type);
    if (known === undefined || (flags & ~known) !== 0) return EINVAL;
    if (type === Cmd.FLUSH) return offset === 0n && length === 0n ? 0 : EINVAL;
    const block = BigInt(minimumBlock);
    // Past 2^53 a length is rounded, and past every device's end in any case.
    const rounded = BigInt(Number(length));
    if (length === 0n || offset % block !== 0n || rounded % block !== 0n) return EINVAL;
    if ((type === Cmd.READ || type === Cmd.WRITE) && length > MAX_PAYLOAD) return EINVAL;
    const modifies = MODIFYING.includes(type);
    if (modifies && readOnly) return EPERM;
    if (type === Cmd.BLOCK_STATUS && contexts.length === 0) return EINVAL;
    if (offset + length > BigInt(size)) return modifies && type !== Cmd.TRIM ? ENOSPC : EINVAL;
    return 0;
  }

  /** Range and contexts of a request; a BLOCK_STATUS may say them in its payload. No contexts when it does it wrong. */
  #meant({ type, flags, length, payload }: Asked): { length: bigint; contexts: readonly number[] } {
    const { mode, contexts } = this.#options;
    const isNarrowed =
      mode === 'extended' && type === Cmd.BLOCK_STATUS && (flags & CmdFlag.PAYLOAD_LEN) !== 0;
    if (!isNarrowed) return { length, contexts };
    const ids: number[] = [];
    for (let at = 8; at + 4 <= payload.length; at += 4) ids.push(payload.readUInt32BE(at));
    const isRight =
      payload.length % 4 === 0 &&
      payload.length >= 12 &&
      new Set(ids).size === ids.length &&
      ids.every((id) => contexts.includes(id));
    return { length: isRight ? payload.readBigUInt64BE(0) : 0n, contexts: ids };
  }

  /** Does the request, then says what is wrong with a reply to it; undefined when nothing is. */
  judge(asked: Asked, reply: Reply): string | undefined {
    const error = this.error(asked);
    if (reply.error !== error) return `error ${reply.error} instead of ${error}`;
    if (error !== 0) return undefined;
    const from = Number(asked.offset);
    const to = from + Number(asked.length);
    if (asked.type === Cmd.WRITE) asked.payload.copy(this.content, from);
    else if (ZEROED.includes(asked.type)) this.content.fill(0, from, to);
    else if (asked.type === Cmd.READ) {
      if (!reply.data?.equals(this.content.subarray(from, to))) return 'other content';
    } else if (asked.type === Cmd.BLOCK_STATUS) return this.#judgeExtents(asked, reply);
    return undefined;
  }

  #judgeExtents(asked: Asked, { extents }: Reply): string | undefined {
    const { flags, offset } = asked;
    const { length, contexts } = this.#meant(asked);
    for (const context of contexts) {
      const runs = extents.get(context);
      if (runs === undefined) return `nothing of context ${context}`;
      if ((flags & CmdFlag.REQ_ONE) !== 0 && runs.length !== 1) return `${runs.length} extents, not one`;
      let at = offset;
      for (const [bytes, status] of runs) {
        if (bytes % BigInt(this.#options.minimumBlock) !== 0n) return `an extent of ${bytes}`;
        const run = this.content.subarray(Number(at), Number(at + bytes));
        // A hole reads as zeroes; so does what was not changed, on a device that began with nothing else.
        const mustBeZero =
          context === OVERLAY_ID ? false : context === DIRTY_ID ? status === 0 : status !== 0;
        if (mustBeZero && !run.equals(this.#zeroes.subarray(0, run.length)))
          return `content at ${at} is said to be status ${status} of context ${context}`;
        at += bytes;
      }
      if (at > offset + length) return `extents to ${at}, past the range`;
    }
    return extents.size === contexts.length ? undefined : 'a context nobody asked for';
  }
}
