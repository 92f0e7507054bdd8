import { Opt, Rep } from '../wire/constants.js';
import { encodeServer } from '../wire/info.js';
import { encodeOptionReply } from '../wire/option.js';
import { type OptionHandler, refuse } from './session.js';

/** LIST: every export with its description. */
export const list: OptionHandler = (session, data) => {
  if (data.length > 0) return refuse(Opt.LIST, Rep.ERR_INVALID, 'LIST takes no data.');
  const replies = session.options.exports.list().map((entry) => {
    const server = encodeServer(entry.name, entry.info().description);
    return encodeOptionReply(Opt.LIST, Rep.SERVER, server);
  });
  return { replies: [...replies, encodeOptionReply(Opt.LIST, Rep.ACK)] };
};
