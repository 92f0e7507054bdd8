/** Layouts of the handshake's fixed structures, field by field ("Newstyle negotiation", "Option types"). */

import { blob, nu64be, type Shape, type Structure, struct, u16be, u32be } from 'buffer-layout';
import { Magic } from './constants.js';

/** A 64-bit magic number as it stands on the wire. */
const magicBytes = (magic: bigint): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(magic);
  return bytes;
};

export const INIT_MAGIC = magicBytes(Magic.INIT);
export const OPTION_MAGIC = magicBytes(Magic.OPTION);
export const OPTION_REPLY_MAGIC = magicBytes(Magic.OPTION_REPLY);

/** Server's first message. */
export const greeting = struct([blob(8, 'init'), blob(8, 'magic'), u16be('flags')]);

/** Client's answer to it. */
export const clientFlags = struct([u32be('flags')]);

/** Before the data of an option; `length` counts that data. */
export const optionHeader = struct([blob(8, 'magic'), u32be('option'), u32be('length')]);

/** Before the data of an option's reply. */
export const optionReplyHeader = struct([blob(8, 'magic'), u32be('option'), u32be('type'), u32be('length')]);

/** Reply to EXPORT_NAME; 124 zeroes follow unless NO_ZEROES was negotiated. Size in bytes. */
export const exportNameReply = struct([nu64be('size'), u16be('flags')]);

/** INFO_EXPORT. Size in bytes. */
export const infoExport = struct([u16be('info'), nu64be('size'), u16be('flags')]);

/** INFO_BLOCK_SIZE. Bytes. */
export const infoBlockSize = struct([u16be('info'), u32be('minimum'), u32be('preferred'), u32be('maximum')]);

/** INFO_NAME and INFO_DESCRIPTION: the string follows. */
export const infoString = struct([u16be('info')]);

/** REP_META_CONTEXT: the context's name follows. */
export const metaContext = struct([u32be('id')]);

/** Length of a string that follows, or a count of items: REP_SERVER, INFO, GO, LIST and SET_META_CONTEXT. */
export const count32 = struct([u32be('count')]);
export const count16 = struct([u16be('count')]);

type Fields<S> = S extends Structure<infer F> ? Shape<F> : never;

/** A fresh buffer with one structure, and `tail` behind it. */
export const pack = <S extends { span: number; encode(value: Fields<S>, into: Buffer): number }>(
  layout: S,
  value: Fields<S>,
  tail: Buffer = Buffer.alloc(0),
): Buffer => {
  const head = Buffer.alloc(layout.span);
  layout.encode(value, head);
  return tail.length === 0 ? head : Buffer.concat([head, tail]);
};
