/** Limits as they are written on a command line. */
import type { LimitsChange } from '../control/messages.js';
import { CliError } from './fail.js';
import { parseSize } from './size.js';

/** Options by the limit that they set, without `--limit-`. */
export const LIMITS = {
  iops: 'iops',
  'iops-read': 'iopsRead',
  'iops-write': 'iopsWrite',
  bytes: 'bytes',
  'bytes-read': 'bytesRead',
  'bytes-write': 'bytesWrite',
  burst: 'burst',
  'burst-read': 'burstRead',
  'burst-write': 'burstWrite',
} as const satisfies Readonly<Record<string, keyof LimitsChange>>;

export type LimitName = keyof typeof LIMITS;

/** A number or a size (`100M`), seconds (`2`, `2s`, `500ms`) for a burst; `none`, also `0` for a rate, is no limit. EINVAL. */
export function limitValue(name: LimitName, text: string): number | null {
  if (text === 'none') return null;
  if (name.startsWith('burst')) return secondsOf(name, text);
  let value: number;
  try {
    value = Number(parseSize(text.replace(/\/s$/, '')));
  } catch {
    throw new CliError('EINVAL', `--limit-${name}: '${text}' is neither a number a second nor 'none'`);
  }
  return value === 0 ? null : value;
}

function secondsOf(name: LimitName, text: string): number {
  const match = /^(\d+(?:\.\d+)?)(s|ms)?$/.exec(text);
  if (match === null) throw new CliError('EINVAL', `--limit-${name}: '${text}' is no number of seconds`);
  return Number(match[1]) / (match[2] === 'ms' ? 1000 : 1);
}
