/** Codec of what options carry: requests of INFO / GO and of the meta context options, and their items of reply. */

import { Info, MAX_STRING } from './constants.js';
import { Cursor } from './cursor.js';
import { count32, infoBlockSize, infoExport, infoString, metaContext, pack } from './structs.js';
import { encodeText } from './text.js';

/** Data of INFO and GO. */
export interface InfoRequest {
  readonly name: string;
  /** Information types asked for, from `Info` or unknown ones. */
  readonly items: ReadonlySet<number>;
}

/** Data of LIST_META_CONTEXT and SET_META_CONTEXT. */
export interface ContextRequest {
  readonly name: string;
  /** Each `namespace:leaf`; what stands there is not checked. */
  readonly queries: readonly string[];
}

/** Undefined when the data is not exactly one request, with a name of at most `maxNameBytes`. */
export const decodeInfoRequest = (data: Buffer, maxNameBytes = MAX_STRING): InfoRequest | undefined => {
  const cursor = new Cursor(data);
  const name = cursor.text(maxNameBytes);
  const count = cursor.u16();
  if (name === undefined || count === undefined || cursor.left !== count * 2) return undefined;
  const items = new Set<number>();
  for (let item = cursor.u16(); item !== undefined; item = cursor.u16()) items.add(item);
  return { name, items };
};

/** Undefined when the data is not exactly one request, with a name of at most `maxNameBytes`. */
export const decodeContextRequest = (data: Buffer, maxNameBytes = MAX_STRING): ContextRequest | undefined => {
  const cursor = new Cursor(data);
  const name = cursor.text(maxNameBytes);
  const count = cursor.u32();
  if (name === undefined || count === undefined) return undefined;
  const queries: string[] = [];
  while (queries.length < count) {
    const query = cursor.text();
    if (query === undefined) return undefined;
    queries.push(query);
  }
  return cursor.left === 0 ? { name, queries } : undefined;
};

/** INFO_EXPORT: size in bytes, `TransmissionFlag` bits. */
export const encodeInfoExport = (size: number, flags: number): Buffer =>
  pack(infoExport, { info: Info.EXPORT, size, flags });

export const encodeInfoName = (name: string): Buffer =>
  pack(infoString, { info: Info.NAME }, encodeText(name));

export const encodeInfoDescription = (description: string): Buffer =>
  pack(infoString, { info: Info.DESCRIPTION }, encodeText(description));

/** INFO_BLOCK_SIZE, in bytes. */
export const encodeInfoBlockSize = (sizes: {
  readonly minimum: number;
  readonly preferred: number;
  readonly maximum: number;
}): Buffer =>
  pack(infoBlockSize, {
    info: Info.BLOCK_SIZE,
    minimum: sizes.minimum,
    preferred: sizes.preferred,
    maximum: sizes.maximum,
  });

/** Data of REP_SERVER: an export and what to tell a human of it. */
export const encodeServer = (name: string, description: string): Buffer => {
  const bytes = encodeText(name);
  return pack(count32, { count: bytes.length }, Buffer.concat([bytes, encodeText(description)]));
};

/** Data of REP_META_CONTEXT. */
export const encodeMetaContext = (id: number, name: string): Buffer =>
  pack(metaContext, { id }, encodeText(name));
