/** What decides an option before its data is looked at. */

import { ClientFlag, Opt, Rep } from '../wire/constants.js';
import type { OptionHeader } from '../wire/option.js';
import { abort } from './abort.js';
import { HANDLERS } from './handlers.js';
import { type Answer, drop, type OptionHandler, refuse, type Session } from './session.js';

/**
 * The handler to call with the option's data, or the answer to give once that data is skipped.
 *
 * Order: what ends the session; ABORT, which always works; a server that goes down; TLS that must come first
 * (it covers unknown options too, and says nothing of exports); then what the option itself is.
 */
export const judge = (
  header: OptionHeader,
  { options, clientFlags, secure }: Session,
): OptionHandler | Answer => {
  const { option, length } = header;
  const { limits } = options;
  if (length > limits.maxDrainBytes) return drop(`option ${option} announces ${length} bytes`);
  if (!(clientFlags & ClientFlag.FIXED_NEWSTYLE) && option !== Opt.EXPORT_NAME) {
    return drop(`option ${option} from a client without fixed newstyle`);
  }
  if (option === Opt.ABORT) return abort();

  const error = (type: number, message: string): Answer =>
    option === Opt.EXPORT_NAME ? drop(message) : refuse(option, type, message);
  if (options.draining()) return error(Rep.ERR_SHUTDOWN, 'The server is shutting down.');
  if (options.tls === 'required' && !secure && option !== Opt.STARTTLS) {
    return error(Rep.ERR_TLS_REQD, 'This server requires TLS.');
  }
  const handler = HANDLERS.get(option);
  if (handler === undefined) return error(Rep.ERR_UNSUP, `Option ${option} is not known.`);
  if (length > limits.maxOptionBytes) return error(Rep.ERR_TOO_BIG, tooBig(limits.maxOptionBytes));
  return handler;
};

const tooBig = (limit: number): string => `An option carries at most ${limit} bytes.`;
