import { ClientFlag } from '../wire/constants.js';
import { encodeExportNameReply } from '../wire/option.js';
import { decodeText } from '../wire/text.js';
import { enterTransmission, openExport } from './open-export.js';
import { drop, type OptionHandler } from './session.js';

/** EXPORT_NAME: the way of old clients into transmission. It has no error reply, so every refusal hangs up. */
export const exportName: OptionHandler = async (session, data) => {
  if (session.mode === 'extended') return drop('EXPORT_NAME cannot follow EXTENDED_HEADERS');
  const { maxNameBytes } = session.options.limits;
  const name = data.length > maxNameBytes ? undefined : decodeText(data);
  if (name === undefined) return drop('EXPORT_NAME with a name that is too long or not valid text');
  const opened = await openExport(session, name);
  if ('unavailable' in opened) return drop(opened.unavailable);
  const outcome = enterTransmission(session, name, opened, { blockSizesNegotiated: false });
  const padding = session.clientFlags & ClientFlag.NO_ZEROES ? 'no zeroes' : 'zeroes';
  const reply = encodeExportNameReply(opened.info.size, outcome.transmissionFlags, padding);
  return { replies: [reply], outcome };
};
