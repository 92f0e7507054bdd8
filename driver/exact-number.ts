/**
 * Unsigned numbers of 64 bits in JSON, whose numbers are exact up to 2^53 only: beyond that they travel as decimal digits.
 * The one codec for inode and device numbers, wherever they leave the process: state, control API.
 */

/** A JSON number where it is exact, else decimal digits. */
export type ExactNumber = number | string;

export const toExactNumber = (value: bigint): ExactNumber =>
  value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : String(value);

/** As calculations want it: a bigint only where a number would be rounded. */
export const toWholeNumber = (value: bigint): number | bigint =>
  value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value;

/** Undefined for what is no whole number from 0 to 2^64 - 1, or a JSON number that may have been rounded. */
export function fromExactNumber(value: unknown): bigint | undefined {
  if (typeof value === 'number') return Number.isSafeInteger(value) && value >= 0 ? BigInt(value) : undefined;
  if (typeof value !== 'string' || !/^\d{1,20}$/.test(value)) return undefined;
  const exact = BigInt(value);
  return exact < 1n << 64n ? exact : undefined;
}
