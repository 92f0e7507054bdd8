/** Codec of the option phase: greeting, option headers, option replies. */

import { HandshakeFlag, Size } from './constants.js';
import {
  clientFlags,
  exportNameReply,
  greeting,
  INIT_MAGIC,
  OPTION_MAGIC,
  OPTION_REPLY_MAGIC,
  optionHeader,
  optionReplyHeader,
  pack,
} from './structs.js';

/** What a client asks with one option; `length` bytes of data follow. */
export interface OptionHeader {
  readonly option: number;
  readonly length: number;
}

/** NBDMAGIC, IHAVEOPT, FIXED_NEWSTYLE | NO_ZEROES. */
export const encodeGreeting = (): Buffer =>
  pack(greeting, {
    init: INIT_MAGIC,
    magic: OPTION_MAGIC,
    flags: HandshakeFlag.FIXED_NEWSTYLE | HandshakeFlag.NO_ZEROES,
  });

/** `bytes` are `Size.CLIENT_FLAGS` long. */
export const decodeClientFlags = (bytes: Buffer): number => clientFlags.decode(bytes).flags;

/** `bytes` are `Size.OPTION_HEADER` long. Undefined when they do not start with IHAVEOPT. */
export const decodeOptionHeader = (bytes: Buffer): OptionHeader | undefined => {
  const { magic, option, length } = optionHeader.decode(bytes);
  return magic.equals(OPTION_MAGIC) ? { option, length } : undefined;
};

/** One reply to `option`, of a type from `Rep`. */
export const encodeOptionReply = (option: number, type: number, data: Buffer = Buffer.alloc(0)): Buffer =>
  pack(optionReplyHeader, { magic: OPTION_REPLY_MAGIC, option, type, length: data.length }, data);

/** Reply to EXPORT_NAME, the one option without a reply header. */
export const encodeExportNameReply = (size: number, flags: number, padding: 'zeroes' | 'no zeroes'): Buffer =>
  pack(exportNameReply, { size, flags }, Buffer.alloc(padding === 'zeroes' ? Size.EXPORT_NAME_ZEROES : 0));
