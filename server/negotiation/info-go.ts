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
import { contextsFor, enterTransmission, openExport, unknownExport } from './open-export.js';
import type { NegotiationLimits } from './options.js';
import { type Answer, type OptionHandler, refuse } from './session.js';
import { transmissionFlags } from './transmission-flags.js';

const malformed = (option: number, { maxNameBytes }: NegotiationLimits): Answer =>
  refuse(
    option,
    Rep.ERR_INVALID,
    `The data is not a name of at most ${maxNameBytes} bytes of text and a list of items.`,
  );

/** INFO: what GO would say, without opening anything. */
export const info: OptionHandler = (session, data) => {
  const { limits, readOnly } = session.options;
  const request = decodeInfoRequest(data, limits.maxNameBytes);
  if (request === undefined) return malformed(Opt.INFO, limits);
  const found = session.options.exports.find(request.name);
  if (found === undefined) return refuse(Opt.INFO, Rep.ERR_UNKNOWN, unknownExport(request.name));
  const about = found.info();
  const contexts = contextsFor(session, request.name);
  const flags = transmissionFlags(about, { mode: session.mode, readOnly, contexts });
  const { name, items } = request;
  return { replies: describe(Opt.INFO, { about, name, flags, limits, items }) };
};

/** GO: opens the export and enters transmission with its ACK. */
export const go: OptionHandler = async (session, data) => {
  const { limits } = session.options;
  const request = decodeInfoRequest(data, limits.maxNameBytes);
  if (request === undefined) return malformed(Opt.GO, limits);
  const opened = await openExport(session, request.name);
  if ('unavailable' in opened) return refuse(Opt.GO, Rep.ERR_UNKNOWN, opened.unavailable);
  const outcome = enterTransmission(session, request.name, opened, {
    blockSizesNegotiated: request.items.has(Info.BLOCK_SIZE),
  });
  const { name, items } = request;
  const told = { about: opened.info, name, flags: outcome.transmissionFlags, limits, items };
  return { replies: describe(Opt.GO, told), outcome };
};

interface Told {
  readonly about: ExportInfo;
  /** Asked for; empty: the default export's. */
  readonly name: string;
  /** `TransmissionFlag` bits. */
  readonly flags: number;
  readonly limits: NegotiationLimits;
  readonly items: ReadonlySet<number>;
}

/**
 * INFO_EXPORT always, the items asked for that are known, ACK. The name is the one that the client came by: an export may have
 * another, by which LIST shows it as well.
 */
const describe = (option: number, { about, name, flags, limits, items }: Told): Buffer[] => {
  const infos = [encodeInfoExport(about.size, flags)];
  if (items.has(Info.NAME)) infos.push(encodeInfoName(name === '' ? about.name : name));
  if (items.has(Info.DESCRIPTION)) infos.push(encodeInfoDescription(about.description));
  if (items.has(Info.BLOCK_SIZE))
    infos.push(
      encodeInfoBlockSize({
        ...about.blockSizes,
        maximum: Math.min(about.blockSizes.maximum, limits.maxPayloadBytes),
      }),
    );
  return [
    ...infos.map((item) => encodeOptionReply(option, Rep.INFO, item)),
    encodeOptionReply(option, Rep.ACK),
  ];
};
