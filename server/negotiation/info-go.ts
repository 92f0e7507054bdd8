import type { ExportInfo } from '../export.js';
import { Info, Opt, Rep } from '../wire/constants.js';
import {
  decodeInfoRequest,
  encodeInfoBlockSize,
  encodeInfoDescription,
  encodeInfoExport,
  encodeInfoName,
} from '../wire/info.js';
import { encodeOptionReply } from '../wire/option.js';
import { enterTransmission, openExport, unknownExport } from './open-export.js';
import { type OptionHandler, refuse } from './session.js';
import { transmissionFlags } from './transmission-flags.js';

const MALFORMED = 'The data is not a name of at most 4096 bytes of text and a list of items.';

/** INFO: what GO would say, without opening anything. */
export const info: OptionHandler = (session, data) => {
  const request = decodeInfoRequest(data);
  if (request === undefined) return refuse(Opt.INFO, Rep.ERR_INVALID, MALFORMED);
  const found = session.options.exports.find(request.name);
  if (found === undefined) return refuse(Opt.INFO, Rep.ERR_UNKNOWN, unknownExport(request.name));
  const about = found.info();
  const { readOnly } = session.options;
  const flags = transmissionFlags(about, { mode: session.mode, readOnly });
  return { replies: describe(Opt.INFO, about, flags, request.items) };
};

/** GO: opens the export and enters transmission with its ACK. */
export const go: OptionHandler = async (session, data) => {
  const request = decodeInfoRequest(data);
  if (request === undefined) return refuse(Opt.GO, Rep.ERR_INVALID, MALFORMED);
  const opened = await openExport(session, request.name);
  if ('unavailable' in opened) return refuse(Opt.GO, Rep.ERR_UNKNOWN, opened.unavailable);
  const outcome = enterTransmission(session, request.name, opened, {
    blockSizesNegotiated: request.items.has(Info.BLOCK_SIZE),
  });
  return {
    replies: describe(Opt.GO, opened.info, outcome.transmissionFlags, request.items),
    outcome,
  };
};

/** INFO_EXPORT always, the items asked for that are known, ACK. */
const describe = (option: number, about: ExportInfo, flags: number, items: ReadonlySet<number>): Buffer[] => {
  const infos = [encodeInfoExport(about.size, flags)];
  if (items.has(Info.NAME)) infos.push(encodeInfoName(about.name));
  if (items.has(Info.DESCRIPTION)) infos.push(encodeInfoDescription(about.description));
  if (items.has(Info.BLOCK_SIZE)) infos.push(encodeInfoBlockSize(about.blockSizes));
  return [
    ...infos.map((item) => encodeOptionReply(option, Rep.INFO, item)),
    encodeOptionReply(option, Rep.ACK),
  ];
};
