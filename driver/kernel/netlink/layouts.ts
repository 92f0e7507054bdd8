/**
 * The fixed structures of netlink and generic netlink, field by field (linux/netlink.h, linux/genetlink.h). They
 * never leave the machine, so they are in its own byte order.
 */

import { endianness } from 'node:os';
import * as layout from 'buffer-layout';

const little = endianness() === 'LE';
const u16 = little ? layout.u16 : layout.u16be;
const u32 = little ? layout.u32 : layout.u32be;
const nu64 = little ? layout.nu64 : layout.nu64be;

/** struct nlmsghdr: `length` counts the header too. */
export const messageHeader = layout.struct([
  u32('length'),
  u16('type'),
  u16('flags'),
  u32('sequence'),
  u32('port'),
]);

/** struct genlmsghdr, at the start of the payload. */
export const genericHeader = layout.struct([layout.u8('command'), layout.u8('version'), u16('reserved')]);

/** struct nlattr, before the value; `length` counts this header too, but not the padding. */
export const attributeHeader = layout.struct([u16('length'), u16('type')]);

/** Start of an NLMSG_ERROR's payload: 0, or a negative errno as an unsigned number. */
export const errorHeader = layout.struct([u32('error')]);

export const u8Value = layout.struct([layout.u8('value')]);
export const u16Value = layout.struct([u16('value')]);
export const u32Value = layout.struct([u32('value')]);
/** Exact up to 2^53. */
export const u64Value = layout.struct([nu64('value')]);
/** The layout of an attribute's value that is one number. */
export type NumberLayout = typeof u32Value;

/** Everything in a message starts at a multiple of this, bytes. */
export const ALIGNMENT = 4;
export const aligned = (bytes: number): number => (bytes + ALIGNMENT - 1) & -ALIGNMENT;
