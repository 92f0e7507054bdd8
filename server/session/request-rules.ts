/** What a request may be, whatever the state of the device. */
import { constants } from 'node:os';
import type { Errno } from '../backend.js';
import type { ReplyMode } from '../negotiation/outcome.js';
import { Cmd } from '../wire/constants.js';
import type { Request } from '../wire/request.js';
import { validFlags } from './command-flags.js';

const { EINVAL, EPERM } = constants.errno;

/** Bytes of payload a READ or WRITE may carry, where nothing else was said: 32 MiB. */
export const MAX_PAYLOAD = 32 << 20;

export interface RuleOptions {
  readonly mode: ReplyMode;
  /** Bytes every offset and length must be a multiple of; 1 where the client was not told. */
  readonly minimumBlock: number;
  readonly readOnly: boolean;
  /** Bytes of payload a READ or WRITE may carry; `MAX_PAYLOAD` when absent. */
  readonly maxPayload?: number | undefined;
  /** False where SEND_FAST_ZERO was not advertised. */
  readonly fastZero?: boolean | undefined;
}

export class RequestRules {
  /** Something was to be changed: a disconnect makes it durable. */
  hasChanged = false;
  readonly #flags: readonly (number | undefined)[];
  readonly #alignmentMask: number;
  readonly #readOnly: boolean;
  readonly #maxPayload: number;

  constructor({ mode, minimumBlock, readOnly, maxPayload, fastZero }: RuleOptions) {
    this.#flags = validFlags({ mode, fastZero: fastZero !== false || readOnly });
    this.#alignmentMask = minimumBlock - 1;
    this.#readOnly = readOnly;
    this.#maxPayload = maxPayload ?? MAX_PAYLOAD;
  }

  /** EINVAL, EPERM, or 0: nothing is wrong with it. */
  flaw(request: Request): Errno {
    const { type, flags, length } = request;
    const valid = this.#flags[type];
    if (valid === undefined || (flags & ~valid) !== 0) return EINVAL;
    if (type === Cmd.FLUSH) return request.offset === 0 && length === 0 ? 0 : EINVAL;
    if (length === 0 || ((request.offsetLow | length) & this.#alignmentMask) !== 0) return EINVAL;
    if (length > this.#maxPayload && (type === Cmd.READ || type === Cmd.WRITE)) return EINVAL;
    const modifies = type === Cmd.WRITE || type === Cmd.TRIM || type === Cmd.WRITE_ZEROES;
    if (modifies && this.#readOnly) return EPERM;
    this.hasChanged ||= modifies;
    return 0;
  }
}
