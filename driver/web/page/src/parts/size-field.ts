/** Bytes with a suffix, as on the command line; what is none goes as it is, and the daemon says so. */
export function sizeField(text: string): string {
  const [, digits, suffix] = /^\s*(\d+)\s*([kmgt]?)(?:ib?)?\s*$/i.exec(text) ?? [];
  if (digits === undefined) return text;
  const power = 'kmgt'.indexOf(suffix?.toLowerCase() || '-') + 1;
  return (BigInt(digits) * 1024n ** BigInt(power)).toString();
}

/** For a field of JSON: a number, or what is none as it is. */
export function sizeValue(text: string): number | string {
  const value = sizeField(text);
  return Number.isNaN(Number(value)) ? text : Number(value);
}

/** The same without a suffix. The type is what the daemon takes; what else was typed it refuses in its own words. */
export const numberValue = (text: string): number =>
  (text.trim() === '' || Number.isNaN(Number(text)) ? text : Number(text)) as number;
