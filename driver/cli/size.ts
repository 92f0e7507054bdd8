/** The one size parser: sizes and offsets as util-linux writes them. */

const EXPONENT = 'KMGTPEZY';
const LIMIT = 1n << 64n;

/** Why a text is no size: EINVAL not understood, ERANGE 2^64 or more. */
export class SizeError extends Error {
  constructor(
    readonly errno: 'EINVAL' | 'ERANGE',
    message: string,
  ) {
    super(message);
  }
}

/**
 * Bytes of `text`: decimal, 0x hexadecimal or 0 octal digits, then nothing, K or KiB (1024), or KB (1000), and so
 * on through M, G, T, P, E, Z, Y in either case. A decimal fraction needs a suffix: 1.5K is 1536, and 1.K is 1K.
 */
export function parseSize(text: string): bigint {
  const match = /^\s*\+?(0[xX][0-9a-fA-F]+|\d+)(?:\.(\d*))?(?:([KMGTPEZYkmgtpezy])(iB|ib|[bB])?)?$/.exec(
    text,
  );
  if (match === null) throw new SizeError('EINVAL', `'${text}': Invalid argument`);
  const [, digits = '', fraction, letter, unit] = match;
  const whole = wholeNumber(digits);
  if (whole === undefined || (fraction !== undefined && letter === undefined)) {
    throw new SizeError('EINVAL', `'${text}': Invalid argument`);
  }
  const base = unit?.length === 1 ? 1000n : 1024n;
  const factor = letter === undefined ? 1n : base ** BigInt(EXPONENT.indexOf(letter.toUpperCase()) + 1);
  const part =
    fraction === undefined ? 0n : (BigInt(fraction || '0') * factor) / 10n ** BigInt(fraction.length);
  const bytes = whole * factor + part;
  if (bytes >= LIMIT) throw new SizeError('ERANGE', `'${text}': Numerical result out of range`);
  return bytes;
}

function wholeNumber(digits: string): bigint | undefined {
  if (/^0[xX]/.test(digits)) return BigInt(digits);
  if (!digits.startsWith('0')) return BigInt(digits);
  return /^[0-7]+$/.test(digits) ? BigInt(`0o${digits}`) : undefined;
}
