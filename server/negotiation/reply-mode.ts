/** STRUCTURED_REPLY and EXTENDED_HEADERS: the form that requests and replies will have. */

import { Opt, Rep } from '../wire/constants.js';
import { ack, type OptionHandler, refuse } from './session.js';

/** Asking twice is harmless and answered alike. */
export const structuredReply: OptionHandler = (session, data) => {
  const option = Opt.STRUCTURED_REPLY;
  if (data.length > 0) return refuse(option, Rep.ERR_INVALID, 'STRUCTURED_REPLY takes no data.');
  if (session.mode === 'extended') {
    return refuse(option, Rep.ERR_EXT_HEADER_REQD, 'Extended headers are agreed on already.');
  }
  session.mode = 'structured';
  return ack(option);
};

/** Takes precedence over structured replies, in whichever order they come. */
export const extendedHeaders: OptionHandler = (session, data) => {
  const option = Opt.EXTENDED_HEADERS;
  if (data.length > 0) return refuse(option, Rep.ERR_INVALID, 'EXTENDED_HEADERS takes no data.');
  session.mode = 'extended';
  return ack(option);
};
