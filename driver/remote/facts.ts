/** What an export of another host has proven to be, and whether what is found later is the same one. */

import { TransmissionFlag } from '../../server/wire/constants.js';

export interface ExportFacts {
  /** Bytes. */
  readonly size: number;
  /** `TransmissionFlag` bits as the server said them. */
  readonly flags: number;
  /** Bytes: requests are multiples of this; 1 where the server said nothing. */
  readonly minimumBlock: number;
  /** Bytes: longest payload of a request. */
  readonly maximumBlock: number;
  /** By which nbdloop tells its devices apart; null for other servers. */
  readonly uuid: string | null;
  readonly description: string | null;
}

/** What the kernel's driver makes use of: once it was told, it counts on it. */
const RELIED_ON = [
  ['FLUSH', TransmissionFlag.SEND_FLUSH],
  ['FUA', TransmissionFlag.SEND_FUA],
  ['TRIM', TransmissionFlag.SEND_TRIM],
  ['WRITE_ZEROES', TransmissionFlag.SEND_WRITE_ZEROES],
  ['several connections', TransmissionFlag.CAN_MULTI_CONN],
] as const;

/** At the end of the description of every export of nbdloop's that has a file. */
const UUID = /; uuid=([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/;

export const uuidIn = (description: string | undefined): string | null =>
  UUID.exec(description ?? '')?.[1] ?? null;

/**
 * Why `found` is not the export that `meant` was, to end a sentence with; undefined when it is. With nbdloop's own mark
 * it may have grown; any other export is known by its size, too.
 */
export function difference(meant: ExportFacts, found: ExportFacts): string | undefined {
  if (meant.uuid !== found.uuid) {
    return `its uuid is ${found.uuid ?? 'not told'}, and was ${meant.uuid ?? 'not told'}`;
  }
  const mayGrow = meant.uuid !== null;
  if (mayGrow ? found.size < meant.size : found.size !== meant.size) {
    return `it has ${found.size} bytes, and had ${meant.size}`;
  }
  if (isReadOnly(found) && !isReadOnly(meant)) return 'it is read-only, and was not';
  for (const [name, flag] of RELIED_ON) {
    if ((meant.flags & flag) !== 0 && (found.flags & flag) === 0) return `it no longer offers ${name}`;
  }
  if (found.minimumBlock > logicalBlock(meant)) {
    return `it wants requests of ${found.minimumBlock} bytes at least, and the device has blocks of ${logicalBlock(meant)}`;
  }
  if (found.maximumBlock < meant.maximumBlock) {
    return `it takes requests of ${found.maximumBlock} bytes at most, and took ${meant.maximumBlock}`;
  }
  return undefined;
}

export const isReadOnly = ({ flags }: ExportFacts): boolean => (flags & TransmissionFlag.READ_ONLY) !== 0;

/** Several connections see each other's writes, also after a FLUSH on one of them. */
export const sharesConnections = ({ flags }: ExportFacts): boolean =>
  (flags & TransmissionFlag.CAN_MULTI_CONN) !== 0;

/** The least block size the kernel knows, bytes; and the largest that its driver takes. */
const LEAST_BLOCK = 512;
export const LARGEST_BLOCK = 4096;

/** Logical block size of the device, bytes. */
export const logicalBlock = ({ minimumBlock }: ExportFacts): number => Math.max(LEAST_BLOCK, minimumBlock);

/** Transmission flags for the kernel: what it knows, and read-only where that is wanted. */
export const flagsForKernel = ({ flags }: ExportFacts, readOnly: boolean): number =>
  readOnly ? flags | TransmissionFlag.READ_ONLY : flags;
