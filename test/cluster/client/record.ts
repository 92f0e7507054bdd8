/** What a record looks like on the disk: each of its sectors says which value it is of, and where it belongs. */

export const SECTOR = 512;
export const RECORD = 4096;
export const SECTORS = RECORD / SECTOR;
/** Read where nobody wrote it so. */
export const GARBAGE = -1;

const MAGIC = 'nbdloopR';

/** A record of a slot, which lies at `slot * RECORD`. */
export function encodeRecord(slot: number, value: number): Buffer {
  const record = Buffer.alloc(RECORD, value & 255);
  for (let sector = 0; sector < SECTORS; sector++) {
    const at = sector * SECTOR;
    record.write(MAGIC, at, 'latin1');
    record.writeUInt32LE(slot * SECTORS + sector, at + 8);
    record.writeUInt32LE(value, at + 12);
  }
  return record;
}

/** The value of each sector of what was read from a slot: 0 where nothing was written, GARBAGE for anything else. */
export function decodeRecord(slot: number, record: Buffer): number[] {
  return Array.from({ length: SECTORS }, (_, sector) => {
    const piece = record.subarray(sector * SECTOR, (sector + 1) * SECTOR);
    if (piece.every((byte) => byte === 0)) return 0;
    const value = piece.readUInt32LE(12);
    return encodeRecord(slot, value)
      .subarray(sector * SECTOR, (sector + 1) * SECTOR)
      .equals(piece)
      ? value
      : GARBAGE;
  });
}
