/** Numbers for people. */

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'];

/** `1.5 GiB`: three significant digits at most, in powers of 1024. */
export function humanBytes(bytes: number): string {
  const power = bytes < 1 ? 0 : Math.min(Math.floor(Math.log2(bytes) / 10), UNITS.length - 1);
  return `${shortNumber(bytes / 1024 ** power)} ${UNITS[power]}`;
}

/** `1.5k`, `12M`: powers of 1000. */
export function humanCount(count: number): string {
  const letters = ['', 'k', 'M', 'G', 'T'];
  const power = count < 1000 ? 0 : Math.min(Math.floor(Math.log10(count) / 3), letters.length - 1);
  return `${shortNumber(count / 1000 ** power)}${letters[power]}`;
}

/** `2 d 3 h`, `5 min`, `12 s`: the two largest units that say something. */
export function humanSeconds(seconds: number): string {
  const parts: string[] = [];
  let rest = Math.max(0, Math.floor(seconds));
  for (const [unit, length] of [
    ['d', 86_400],
    ['h', 3600],
    ['min', 60],
    ['s', 1],
  ] as const) {
    const whole = Math.floor(rest / length);
    rest -= whole * length;
    if (whole > 0) parts.push(`${whole} ${unit}`);
  }
  return parts.slice(0, 2).join(' ') || '0 s';
}

const shortNumber = (value: number): string =>
  value < 10 && !Number.isInteger(value) ? value.toFixed(1) : String(Math.round(value));
