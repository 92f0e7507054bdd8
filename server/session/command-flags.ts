import type { ReplyMode } from '../negotiation/outcome.js';
import { Cmd, CmdFlag } from '../wire/constants.js';

export interface Offered {
  readonly mode: ReplyMode;
  /** SEND_FAST_ZERO was advertised, or no WRITE_ZEROES could succeed anyway. */
  readonly fastZero: boolean;
}

/**
 * The flags each command may carry, indexed by command ("Command flags"). FUA is valid with every command, FAST_ZERO
 * where it was offered. A command that is not here is unknown.
 */
export function validFlags({ mode, fastZero }: Offered): readonly (number | undefined)[] {
  const { FUA, NO_HOLE, DF, REQ_ONE, FAST_ZERO, PAYLOAD_LEN } = CmdFlag;
  const flags: (number | undefined)[] = [];
  flags[Cmd.READ] = mode === 'simple' ? FUA : FUA | DF;
  flags[Cmd.WRITE] = mode === 'extended' ? FUA | PAYLOAD_LEN : FUA;
  flags[Cmd.DISC] = FUA;
  flags[Cmd.FLUSH] = FUA;
  flags[Cmd.TRIM] = FUA;
  flags[Cmd.CACHE] = FUA;
  flags[Cmd.WRITE_ZEROES] = FUA | NO_HOLE | (fastZero ? FAST_ZERO : 0);
  flags[Cmd.BLOCK_STATUS] = mode === 'extended' ? FUA | REQ_ONE | PAYLOAD_LEN : FUA | REQ_ONE;
  return flags;
}
