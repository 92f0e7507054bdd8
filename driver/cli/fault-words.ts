/** Fault rules as they are written on a command line and in a file. */
import { readFileSync } from 'node:fs';
import type { FaultDelay, FaultKind, FaultOperation, FaultRange, FaultRule } from '../control/messages.js';
import { CliError, reasonOf } from './fail.js';
import { parseSize } from './size.js';

const KINDS: readonly FaultKind[] = ['errno', 'delay', 'torn', 'lost', 'misdirected', 'flipped', 'hang'];

/** The kind of a fault and what it needs: `errno EIO`, `delay 10ms`, `torn 3`, `lost`; also `errno=EIO`, and `EIO` alone. */
export function faultOf(words: readonly string[]): Pick<FaultRule, 'kind'> & Partial<FaultRule> {
  const [first = '', ...rest] = words.flatMap((word) => splitOnce(word));
  const [value, more] = rest;
  if (more !== undefined) throw new CliError('EINVAL', `'${words.join(' ')}': one fault at a time`);
  if (/^E[A-Z0-9]+$/.test(first) && value === undefined) return { kind: 'errno', errno: first };
  const kind = KINDS.find((one) => one === first);
  if (kind === undefined) {
    throw new CliError('EINVAL', `'${first}' is no fault: ${KINDS.join(', ')}, or the name of an errno`);
  }
  if (kind === 'delay') return { kind, delay: delayOf(value ?? '') };
  if (value === undefined) return { kind };
  switch (kind) {
    case 'errno':
      return { kind, errno: value };
    case 'torn':
      return { kind, sectors: count('a number of sectors', value) };
    case 'misdirected':
      return { kind, to: size(value) };
    case 'flipped':
      return { kind, bits: count('a number of bits', value) };
    default:
      throw new CliError('EINVAL', `the fault ${kind} takes no '${value}'`);
  }
}

const splitOnce = (word: string): string[] => {
  const at = word.indexOf('=');
  return at < 0 ? [word] : [word.slice(0, at), word.slice(at + 1)];
};

/** `10ms`, `uniform:1ms:5ms`, `normal:5ms:1ms`, `pareto:1ms:1.5`. */
export function delayOf(text: string): FaultDelay {
  const [distribution = '', first = '', second = ''] = text.split(':');
  switch (distribution) {
    case 'fixed':
      return { distribution, ms: milliseconds(first) };
    case 'uniform':
      return { distribution, min: milliseconds(first), max: milliseconds(second) };
    case 'normal':
      return { distribution, mean: milliseconds(first), deviation: milliseconds(second) };
    case 'pareto':
      return { distribution, min: milliseconds(first), shape: Number(second) };
    default:
      return { distribution: 'fixed', ms: milliseconds(text) };
  }
}

const UNITS: Readonly<Record<string, number>> = { us: 0.001, ms: 1, s: 1000, m: 60_000, '': 1 };

function milliseconds(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(us|ms|s|m)?$/.exec(text);
  if (match === null) {
    throw new CliError(
      'EINVAL',
      `'${text}' is no time: 200us, 10ms, 2s; or uniform:MIN:MAX, normal:MEAN:DEVIATION, pareto:MIN:SHAPE`,
    );
  }
  return Number(match[1]) * (UNITS[match[2] ?? ''] ?? 1);
}

export function operationsOf(text: string): FaultOperation[] {
  // The daemon says which there are.
  return text.split(',').map((name) => (name === 'write-zeroes' ? 'zero' : name) as FaultOperation);
}

/** `OFFSET:LENGTH`, sizes. */
export function rangeOf(text: string): FaultRange {
  const [offset, length, more] = text.split(':');
  if (offset === undefined || length === undefined || more !== undefined) {
    throw new CliError('EINVAL', `'${text}' is no range: OFFSET:LENGTH, bytes`);
  }
  return { offset: size(offset), length: size(length) };
}

export function count(what: string, text: string): number {
  const value = Number(text);
  if (/^\d{1,16}$/.test(text) && Number.isSafeInteger(value)) return value;
  throw new CliError('EINVAL', `'${text}' is not ${what}`);
}

export function size(text: string): number {
  try {
    return Number(parseSize(text));
  } catch {
    throw new CliError('EINVAL', `'${text}' is no number of bytes`);
  }
}

/** Rules of a file of JSON, `-` for standard input: `{"rules": [...]}`, or the array alone. */
export function rulesOfFile(file: string): FaultRule[] {
  let parsed: unknown;
  try {
    parsed = JSON.parse(readFileSync(file === '-' ? 0 : file, 'utf8'));
  } catch (error) {
    const what = error instanceof SyntaxError ? `it is no JSON: ${error.message}` : reasonOf(error);
    throw new CliError('EINVAL', `${file}: ${what}`);
  }
  const rules = Array.isArray(parsed) ? parsed : (parsed as { readonly rules?: unknown } | null)?.rules;
  // What is in them is checked where they are put in force.
  if (Array.isArray(rules)) return rules as FaultRule[];
  throw new CliError('EINVAL', `${file}: it holds no rules: {"rules": [...]}`);
}
