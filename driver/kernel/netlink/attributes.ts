/** Netlink attributes: type, length, value, padding; a value may hold attributes again. */

import { aligned, attributeHeader, type NumberLayout, u8Value, u32Value, u64Value } from './layouts.js';

/** NLA_F_NESTED and NLA_F_NET_BYTEORDER: flags in the type, which readers ignore. */
const TYPE_MASK = 0x3fff;

/** One attribute, padded. */
export function attribute(type: number, value: Buffer): Buffer {
  const length = attributeHeader.span + value.length;
  const bytes = Buffer.alloc(aligned(length));
  attributeHeader.encode({ length, type }, bytes);
  value.copy(bytes, attributeHeader.span);
  return bytes;
}

function numeric(layout: NumberLayout, type: number, value: number): Buffer {
  const bytes = Buffer.alloc(layout.span);
  layout.encode({ value }, bytes);
  return attribute(type, bytes);
}

export const u8Attribute = (type: number, value: number): Buffer => numeric(u8Value, type, value);
export const u32Attribute = (type: number, value: number): Buffer => numeric(u32Value, type, value);
/** Exact up to 2^53. */
export const u64Attribute = (type: number, value: number): Buffer => numeric(u64Value, type, value);
export const textAttribute = (type: number, text: string): Buffer =>
  attribute(type, Buffer.from(`${text}\0`));
export const nestedAttribute = (type: number, inner: readonly Buffer[]): Buffer =>
  attribute(type, Buffer.concat(inner));

/** The attributes that bytes hold, in order. What does not fit its own length ends the list. */
export function* attributesIn(bytes: Buffer): Generator<{ type: number; value: Buffer }> {
  for (let at = 0; at + attributeHeader.span <= bytes.length; ) {
    const { length, type } = attributeHeader.decode(bytes, at);
    if (length < attributeHeader.span || at + length > bytes.length) return;
    yield { type: type & TYPE_MASK, value: bytes.subarray(at + attributeHeader.span, at + length) };
    at += aligned(length);
  }
}

/** The value of the first attribute of a type, or undefined. */
export function findAttribute(bytes: Buffer, type: number): Buffer | undefined {
  for (const found of attributesIn(bytes)) if (found.type === type) return found.value;
  return undefined;
}

/** A number out of a value; undefined when there is none or it is too short. */
export const numberIn = (layout: NumberLayout, value: Buffer | undefined): number | undefined =>
  value === undefined || value.length < layout.span ? undefined : layout.decode(value).value;
