/** CRC-32C (Castagnoli, RFC 3720): reflected, polynomial 0x1EDC6F41, begun and ended with all ones. */
const REFLECTED = 0x82f63b78;

const table = Int32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ ((crc & 1) === 1 ? REFLECTED : 0);
  return crc;
});

/** Unsigned 32 bits. */
export function crc32c(bytes: Uint8Array): number {
  let crc = -1;
  for (const byte of bytes) crc = (crc >>> 8) ^ (table[(crc ^ byte) & 0xff] ?? 0);
  return ~crc >>> 0;
}
