/** What the kernel's nbd driver says and hears over generic netlink (linux/nbd-netlink.h, drivers/block/nbd.c). */

import {
  attributesIn,
  findAttribute,
  nestedAttribute,
  numberIn,
  textAttribute,
  u32Attribute,
  u64Attribute,
} from './attributes.js';
import { u8Value, u16Value, u32Value } from './layouts.js';

export const NBD_FAMILY = 'nbd';
/** Its multicast group: LINK_DEAD. */
const NBD_GROUP = 'nbd_mc_group';

export const NbdCommand = { CONNECT: 1, DISCONNECT: 2, RECONFIGURE: 3, LINK_DEAD: 4, STATUS: 5 } as const;
export type NbdCommand = (typeof NbdCommand)[keyof typeof NbdCommand];

const Attribute = {
  INDEX: 1,
  /** Bytes, u64, as are the timeouts in seconds. */
  SIZE_BYTES: 2,
  BLOCK_SIZE_BYTES: 3,
  TIMEOUT: 4,
  SERVER_FLAGS: 5,
  CLIENT_FLAGS: 6,
  SOCKETS: 7,
  DEAD_CONN_TIMEOUT: 8,
  DEVICE_LIST: 9,
  BACKEND_IDENTIFIER: 10,
} as const;
/** Inside SOCKETS: an item holds a descriptor. */
const Socket = { ITEM: 1, FD: 1 } as const;
/** Inside DEVICE_LIST: an item holds an index and whether it is connected. */
const Device = { ITEM: 1, INDEX: 1, CONNECTED: 2 } as const;

const CFLAG_DISCONNECT_ON_CLOSE = 2;

/** What may be set when a device is connected, and later; what is absent stays as it is. */
export interface NbdSettings {
  readonly index: number;
  /** Where there is one, it must be repeated in every RECONFIGURE. */
  readonly backend?: string;
  /** Bytes. */
  readonly size?: number;
  /** Bytes, 512 to 4096. Heeded by CONNECT, and by RECONFIGURE with a size. */
  readonly blockSize?: number;
  /** Seconds; 0: a request may take for ever. */
  readonly timeout?: number;
  /** Seconds. */
  readonly deadTimeout?: number;
  /** Transmission flags; only CONNECT heeds them. */
  readonly serverFlags?: number;
  readonly disconnectOnClose?: boolean;
  /** Descriptors of this process, which may be closed afterwards. RECONFIGURE puts them in the place of dead ones. */
  readonly sockets?: readonly number[];
}

/** Attributes of CONNECT and RECONFIGURE. */
export function encodeSettings(settings: NbdSettings): Buffer {
  const { index, backend, disconnectOnClose, sockets } = settings;
  const numbers: readonly (readonly [number, number | undefined])[] = [
    [Attribute.SIZE_BYTES, settings.size],
    [Attribute.BLOCK_SIZE_BYTES, settings.blockSize],
    [Attribute.TIMEOUT, settings.timeout],
    [Attribute.DEAD_CONN_TIMEOUT, settings.deadTimeout],
    [Attribute.SERVER_FLAGS, settings.serverFlags],
    [
      Attribute.CLIENT_FLAGS,
      disconnectOnClose === undefined ? undefined : disconnectOnClose ? CFLAG_DISCONNECT_ON_CLOSE : 0,
    ],
  ];
  const items = (sockets ?? []).map((fd) => nestedAttribute(Socket.ITEM, [u32Attribute(Socket.FD, fd)]));
  return Buffer.concat([
    encodeIndex(index),
    ...numbers.flatMap(([type, value]) => (value === undefined ? [] : [u64Attribute(type, value)])),
    ...(backend === undefined ? [] : [textAttribute(Attribute.BACKEND_IDENTIFIER, backend)]),
    ...(items.length === 0 ? [] : [nestedAttribute(Attribute.SOCKETS, items)]),
  ]);
}

/** Attributes of DISCONNECT and STATUS. */
export const encodeIndex = (index: number): Buffer => u32Attribute(Attribute.INDEX, index);

/** The device that a message (LINK_DEAD, the answer to CONNECT) is about. */
export const indexIn = (attributes: Buffer): number | undefined =>
  numberIn(u32Value, findAttribute(attributes, Attribute.INDEX));

/**
 * The devices that STATUS tells of. `connected` is true also for one that is merely open: trust
 * /sys/block/nbdN/pid.
 */
export function decodeStatus(attributes: Buffer): { index: number; connected: boolean }[] {
  const list = findAttribute(attributes, Attribute.DEVICE_LIST) ?? Buffer.alloc(0);
  return [...attributesIn(list)].flatMap(({ type, value }) => {
    const index = numberIn(u32Value, findAttribute(value, Device.INDEX));
    if (type !== Device.ITEM || index === undefined) return [];
    return [{ index, connected: numberIn(u8Value, findAttribute(value, Device.CONNECTED)) === 1 }];
  });
}

/** The controller of generic netlink, which knows the families (linux/genetlink.h). */
export const Controller = { FAMILY: 0x10, GET_FAMILY: 3 } as const;
const FamilyAttribute = { ID: 1, NAME: 2, GROUPS: 7 } as const;
const GroupAttribute = { NAME: 1, ID: 2 } as const;

/** Attributes of the question for the nbd family. */
export const encodeFamilyName = (): Buffer => textAttribute(FamilyAttribute.NAME, NBD_FAMILY);

export interface NbdFamily {
  readonly id: number;
  /** Undefined where the kernel has no such group. */
  readonly group: number | undefined;
}

/** The answer to it; undefined when it is no such answer. */
export function decodeFamily(attributes: Buffer): NbdFamily | undefined {
  const id = numberIn(u16Value, findAttribute(attributes, FamilyAttribute.ID));
  if (id === undefined) return undefined;
  const groups = findAttribute(attributes, FamilyAttribute.GROUPS) ?? Buffer.alloc(0);
  const ours = [...attributesIn(groups)].find(
    ({ value }) => textIn(findAttribute(value, GroupAttribute.NAME)) === NBD_GROUP,
  );
  return { id, group: ours && numberIn(u32Value, findAttribute(ours.value, GroupAttribute.ID)) };
}

const textIn = (value: Buffer | undefined): string | undefined =>
  value?.toString('utf8').replace(/\0.*$/s, '');
