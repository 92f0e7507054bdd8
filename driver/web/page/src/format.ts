/** Numbers and times as a person reads them. */

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'] as const;

/** Three digits and a unit of 1024. */
export function bytes(value: number): string {
  let unit = 0;
  let rest = value;
  while (rest >= 999.5 && unit < UNITS.length - 1) {
    rest /= 1024;
    unit++;
  }
  return `${threeDigits(rest)} ${UNITS[unit]}`;
}

export const bytesPerSecond = (value: number): string => (value === 0 ? '0' : `${bytes(value)}/s`);

/** Three digits: 0, 7.3, 940, 12.1k, 3.4M. */
export function count(value: number): string {
  if (value < 999.5) return threeDigits(value);
  if (value < 999_500) return `${threeDigits(value / 1000)}k`;
  return `${threeDigits(value / 1e6)}M`;
}

function threeDigits(value: number): string {
  if (value === 0) return '0';
  if (value >= 99.95 || Number.isInteger(value)) return value.toFixed(0);
  if (value < 1) return value.toFixed(2).replace(/0$/, '');
  return value.toFixed(1);
}

/** Of microseconds. */
export function duration(microseconds: number): string {
  if (microseconds < 1000) return `${threeDigits(microseconds)} µs`;
  if (microseconds < 1e6) return `${threeDigits(microseconds / 1000)} ms`;
  if (microseconds < 120e6) return `${threeDigits(microseconds / 1e6)} s`;
  return `${Math.round(microseconds / 60e6)} min`;
}

/** The upper end of a bucket of a histogram: what it holds took less. */
export const below = (microseconds: number): string =>
  microseconds === 0 ? '–' : `< ${duration(microseconds)}`;

/** Time of day; with the day where that is another one. */
export function clock(at: number, now = Date.now()): string {
  const date = new Date(at);
  const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  if (new Date(now).toDateString() === date.toDateString()) return time;
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${time}`;
}

const two = (value: number): string => String(value).padStart(2, '0');

/** `for 4 min`, of milliseconds. */
export function span(milliseconds: number): string {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} days`;
}

/** Halves of characters are what a name keeps of bytes that are no UTF-8: nothing can show them. */
const NO_UTF8 = /[\udc80-\udcff]/g;
/** What would break a line, or turn around what stands beside it. */
const UNSEEN = /[\p{Cc}\p{Zl}\p{Zp}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;

/** A name that others gave, so that all of it can be seen. */
export const fileName = (name: string): string =>
  name
    .replace(NO_UTF8, '\ufffd')
    .replace(UNSEEN, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);

/** `1 request`, `2 requests`. */
export const many = (value: number, what: string): string =>
  `${count(value)} ${what}${value === 1 ? '' : 's'}`;
