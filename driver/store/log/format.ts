/**
 * The format of dm-log-writes (Linux, Documentation/admin-guide/device-mapper/log-writes.rst and drivers/md/dm-log-writes.c), so that
 * the tools which read it work. Little-endian. A super block in the first sector; then for each entry a sector that begins with its
 * header, and, unless it is a discard or a mark, the sectors that were written. The text of a mark is behind its header.
 */

export const LOG_MAGIC = 0x6a736677736872n;
export const LOG_VERSION = 1n;

/** What an entry is; bits. */
export const LogFlag = { FLUSH: 1, FUA: 2, DISCARD: 4, MARK: 8, METADATA: 16 } as const;

/** Bytes of the parts that are told. */
export const SUPER_BYTES = 28;
export const ENTRY_BYTES = 32;

export interface LogSuper {
  readonly entries: number;
  /** Bytes of a sector: the unit of everything in the log. */
  readonly sectorSize: number;
}

/** Sectors. */
export interface LogEntry {
  readonly sector: number;
  readonly sectors: number;
  /** `LogFlag` bits. */
  readonly flags: number;
  /** Bytes of a mark's text. */
  readonly dataLength: number;
}

/** Writes at the beginning of `into`. */
export function putSuper(into: Buffer, { entries, sectorSize }: LogSuper): void {
  into.writeBigUInt64LE(LOG_MAGIC, 0);
  into.writeBigUInt64LE(LOG_VERSION, 8);
  into.writeBigUInt64LE(BigInt(entries), 16);
  into.writeUInt32LE(sectorSize, 24);
}

export function putEntry(into: Buffer, { sector, sectors, flags, dataLength }: LogEntry): void {
  into.writeBigUInt64LE(BigInt(sector), 0);
  into.writeBigUInt64LE(BigInt(sectors), 8);
  into.writeBigUInt64LE(BigInt(flags), 16);
  into.writeBigUInt64LE(BigInt(dataLength), 24);
}

/** Undefined, or what is wrong with it in words. */
export function readSuper(from: Buffer): LogSuper | string {
  if (from.length < SUPER_BYTES) return 'it is too short for a super block';
  if (from.readBigUInt64LE(0) !== LOG_MAGIC) return 'it does not begin as a log of dm-log-writes does';
  const version = from.readBigUInt64LE(8);
  if (version !== LOG_VERSION) return `it is of version ${version}, not ${LOG_VERSION}`;
  const sectorSize = from.readUInt32LE(24);
  const isPower = sectorSize > 0 && (sectorSize & (sectorSize - 1)) === 0;
  if (!isPower || sectorSize < 512 || sectorSize > 65536) return `its sectors have ${sectorSize} bytes`;
  const entries = exact(from.readBigUInt64LE(16));
  return entries === undefined ? 'its number of entries is out of all bounds' : { entries, sectorSize };
}

export function readEntry(from: Buffer, sectorSize: number): LogEntry | string {
  const [sector, sectors, flags, dataLength] = [0, 8, 16, 24].map((at) => exact(from.readBigUInt64LE(at)));
  if (sector === undefined || sectors === undefined || flags === undefined || dataLength === undefined) {
    return 'its header is out of all bounds';
  }
  if ((sector + sectors) * sectorSize > Number.MAX_SAFE_INTEGER) return 'it is past every device';
  if ((flags & LogFlag.MARK) !== 0 && dataLength > sectorSize - ENTRY_BYTES) {
    return `its mark of ${dataLength} bytes does not fit its sector`;
  }
  return { sector, sectors, flags, dataLength };
}

/** Sectors of data that follow an entry's own. */
export const dataSectors = ({ flags, sectors }: Pick<LogEntry, 'flags' | 'sectors'>): number =>
  (flags & (LogFlag.DISCARD | LogFlag.MARK)) !== 0 ? 0 : sectors;

const exact = (value: bigint): number | undefined =>
  value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : undefined;
