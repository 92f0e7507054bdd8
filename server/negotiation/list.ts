import { Opt, Rep } from '../wire/constants.js';
import { encodeServer } from '../wire/info.js';
import { encodeOptionReply } from '../wire/option.js';
import { type OptionHandler, refuse } from './session.js';

/** LIST: every export with its description, once for each of its names. */
export const list: OptionHandler = (session, data) => {
  if (data.length > 0) return refuse(Opt.LIST, Rep.ERR_INVALID, 'LIST takes no data.');
  const replies = session.options.exports.list().flatMap((entry) => {
    const { description } = entry.info();
    return entry.names.map((name) =>
      encodeOptionReply(Opt.LIST, Rep.SERVER, encodeServer(name, description)),
    );
  });
  return { replies: [...replies, encodeOptionReply(Opt.LIST, Rep.ACK)] };
};
