/** Codec of the handshake's client side: what a client sends, and what it makes of a server's answers. */

import { ClientFlag, Info, Size } from './constants.js';
import {
  clientFlags,
  count16,
  count32,
  exportNameReply,
  greeting,
  INIT_MAGIC,
  infoBlockSize,
  infoExport,
  infoString,
  OPTION_MAGIC,
  OPTION_REPLY_MAGIC,
  optionHeader,
  optionReplyHeader,
  pack,
} from './structs.js';
import { decodeText } from './text.js';

/** Handshake flags of a newstyle server; undefined where `bytes` (`Size.GREETING`) are no such greeting. */
export const decodeGreeting = (bytes: Buffer): number | undefined => {
  const { init, magic, flags } = greeting.decode(bytes);
  return init.equals(INIT_MAGIC) && magic.equals(OPTION_MAGIC) ? flags : undefined;
};

/** The answer to a greeting: of what the server knows, what we do. */
export const encodeClientFlags = (handshakeFlags: number): Buffer =>
  pack(clientFlags, { flags: handshakeFlags & (ClientFlag.FIXED_NEWSTYLE | ClientFlag.NO_ZEROES) });

/** One option, of a type from `Opt`. */
export const encodeOption = (option: number, data: Buffer = Buffer.alloc(0)): Buffer =>
  pack(optionHeader, { magic: OPTION_MAGIC, option, length: data.length }, data);

/** Data of INFO and GO: the name as it is, and the information asked for. */
export const encodeInfoRequest = (name: string, items: readonly number[]): Buffer => {
  const bytes = Buffer.from(name);
  return Buffer.concat([
    pack(count32, { count: bytes.length }, bytes),
    pack(count16, { count: items.length }),
    ...items.map((count) => pack(count16, { count })),
  ]);
};

/** Before the data of a reply; `length` bytes follow. */
export interface OptionReplyHeader {
  readonly option: number;
  /** From `Rep`; errors have bit 31. */
  readonly type: number;
  readonly length: number;
}

/** `bytes` are `Size.OPTION_REPLY_HEADER` long. Undefined when they are no such header. */
export const decodeOptionReply = (bytes: Buffer): OptionReplyHeader | undefined => {
  const { magic, option, type, length } = optionReplyHeader.decode(bytes);
  return magic.equals(OPTION_REPLY_MAGIC) ? { option, type, length } : undefined;
};

/** True for a reply that refuses the option. */
export const isRefusal = (type: number): boolean => type >= 0x80000000;

/** What servers tell of an export; a field is there when it was told. Sizes in bytes. */
export interface ToldOfExport {
  readonly size?: bigint;
  /** `TransmissionFlag` bits. */
  readonly flags?: number;
  readonly name?: string;
  readonly description?: string;
  readonly blockSizes?: { readonly minimum: number; readonly preferred: number; readonly maximum: number };
}

/** The data of a REP_INFO. Empty for information that is not known here; undefined for data that is malformed. */
export const decodeInfo = (data: Buffer): ToldOfExport | undefined => {
  if (data.length < infoString.span) return undefined;
  switch (infoString.decode(data).info) {
    case Info.EXPORT:
      return data.length === infoExport.span
        ? { size: data.readBigUInt64BE(2), flags: infoExport.decode(data).flags }
        : undefined;
    case Info.BLOCK_SIZE:
      return data.length === infoBlockSize.span ? { blockSizes: blockSizesIn(data) } : undefined;
    case Info.NAME:
      return told('name', data);
    case Info.DESCRIPTION:
      return told('description', data);
    default:
      return {};
  }
};

/** `bytes` are `exportNameReplyBytes` long: the answer to EXPORT_NAME, which has no header. */
export const decodeExportNameReply = (bytes: Buffer): ToldOfExport => ({
  size: bytes.readBigUInt64BE(0),
  flags: exportNameReply.decode(bytes).flags,
});

/** With the padding that a client which did not ask for NO_ZEROES gets. */
export const exportNameReplyBytes = (clientFlagBits: number): number =>
  exportNameReply.span + ((clientFlagBits & ClientFlag.NO_ZEROES) === 0 ? Size.EXPORT_NAME_ZEROES : 0);

const blockSizesIn = (data: Buffer): NonNullable<ToldOfExport['blockSizes']> => {
  const { minimum, preferred, maximum } = infoBlockSize.decode(data);
  return { minimum, preferred, maximum };
};

const told = (field: 'name' | 'description', data: Buffer): ToldOfExport | undefined => {
  const text = decodeText(data.subarray(infoString.span));
  return text === undefined ? undefined : { [field]: text };
};
