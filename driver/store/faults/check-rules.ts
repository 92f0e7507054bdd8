/** What a user says of a fault, checked: a rule, or a LoopError (EINVAL) with a sentence that says what is wrong. */
import { constants } from 'node:os';
import { LoopError } from '../../errno.js';
import { type Delay, LONGEST_DELAY_MS } from './delay.js';
import { SEED_LIMIT } from './random.js';
import type { FaultKind, FaultOperation, FaultRange, FaultRule, GivenRule } from './rule.js';

/** Rules of one device at most. */
export const MOST_RULES = 256;
const MOST_RANGES = 256;
const MOST_BITS = 4096;
const SECTOR = 512;
const ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

const CHANGES: readonly FaultOperation[] = ['write', 'trim', 'zero'];
const ALL: readonly FaultOperation[] = ['read', 'write', 'flush', 'trim', 'zero'];

/** The operations that a kind can hit, and those that it hits unless told. */
const OPERATIONS: Readonly<
  Record<FaultKind, { readonly can: readonly FaultOperation[]; readonly does: readonly FaultOperation[] }>
> = {
  errno: { can: ALL, does: ALL },
  delay: { can: ALL, does: ALL },
  hang: { can: ALL, does: ALL },
  torn: { can: CHANGES, does: ['write'] },
  lost: { can: [...CHANGES, 'flush'], does: ['write'] },
  misdirected: { can: ['read', 'write'], does: ['write'] },
  flipped: { can: ['read', 'write'], does: ['read'] },
};

/** What only one kind has. */
const OF_KIND: Readonly<Record<'errno' | 'delay' | 'sectors' | 'to' | 'bits', FaultKind>> = {
  errno: 'errno',
  delay: 'delay',
  sectors: 'torn',
  to: 'misdirected',
  bits: 'flipped',
};

/**
 * Checks rules that are to be a device's from now on, beside those that stay. `draw` gives a seed to one that has none.
 * Throws EINVAL.
 */
export function checkRules(
  given: readonly GivenRule[],
  present: readonly { readonly id: string }[],
  draw: () => number,
): FaultRule[] {
  if (given.length + present.length > MOST_RULES) {
    throw new LoopError(
      'EINVAL',
      `a device has ${MOST_RULES} fault rules at most, not ${given.length + present.length}`,
    );
  }
  const taken = new Set(present.map(({ id }) => id));
  for (const { id } of given) if (id !== undefined && id !== null) take(taken, id);
  return given.map((one) => {
    const id = one.id ?? freeId(taken);
    taken.add(id);
    return checkRule(one, id, draw);
  });
}

function take(taken: Set<string>, id: string): void {
  if (!ID.test(id)) {
    throw new LoopError(
      'EINVAL',
      `a fault rule can't be named '${id}': up to 64 letters, digits, '.', '_' and '-'`,
    );
  }
  if (taken.has(id)) throw new LoopError('EINVAL', `there are two fault rules named '${id}'`);
  taken.add(id);
}

function freeId(taken: ReadonlySet<string>): string {
  let number = 1;
  while (taken.has(String(number))) number++;
  return String(number);
}

function checkRule(given: GivenRule, id: string, draw: () => number): FaultRule {
  const refuse = (what: string): LoopError => new LoopError('EINVAL', `fault rule '${id}': ${what}`);
  const { kind } = given;
  const known = OPERATIONS[kind];
  if (known === undefined) {
    throw refuse(`there is no kind '${String(kind)}', but ${Object.keys(OPERATIONS).join(', ')}`);
  }
  for (const [field, owner] of Object.entries(OF_KIND)) {
    const value = given[field as keyof typeof OF_KIND];
    if (value !== undefined && value !== null && owner !== kind) {
      throw refuse(`'${field}' is for the kind ${owner}, not for ${kind}`);
    }
  }
  const whole = (field: string, value: number | null | undefined, least: number, most: number): number => {
    if (typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most) return value;
    throw refuse(`'${field}' is a whole number from ${least} to ${most}, not ${String(value)}`);
  };
  const optional = (
    field: string,
    value: number | null | undefined,
    least: number,
    most: number,
  ): number | null => (value === undefined || value === null ? null : whole(field, value, least, most));
  const operations = given.operations ?? known.does;
  if (operations.length === 0) throw refuse('it names no operation');
  for (const operation of operations) {
    if (!known.can.includes(operation)) {
      throw refuse(`${kind} can hit ${known.can.join(', ')}, not '${operation}'`);
    }
  }
  const probability = given.probability ?? 1;
  if (!(typeof probability === 'number' && probability >= 0 && probability <= 1)) {
    throw refuse(`'probability' is a number from 0 to 1, not ${String(probability)}`);
  }
  const fua = given.fua ?? false;
  if (fua && !operations.some((operation) => CHANGES.includes(operation))) {
    throw refuse(`'fua' is for ${CHANGES.join(', ')}: no other request has that flag`);
  }
  const most = Number.MAX_SAFE_INTEGER;
  const to = optional('to', given.to, 0, most);
  if (to !== null && to % SECTOR !== 0) throw refuse(`'to' is a multiple of ${SECTOR} bytes, not ${to}`);
  return {
    id,
    kind,
    errno: kind === 'errno' ? checkErrno(given.errno ?? 'EIO', refuse) : null,
    delay: kind === 'delay' ? checkDelay(given.delay, refuse) : null,
    sectors: optional('sectors', given.sectors, 0, most),
    to,
    bits: kind === 'flipped' ? whole('bits', given.bits ?? 1, 1, MOST_BITS) : null,
    operations: [...new Set(operations)],
    ranges: checkRanges(given.ranges ?? [], refuse),
    fua,
    after: whole('after', given.after ?? 0, 0, most),
    every: whole('every', given.every ?? 1, 1, most),
    probability,
    count: optional('count', given.count, 1, most),
    seed: whole('seed', given.seed ?? draw(), 0, SEED_LIMIT),
  };
}

type Refuse = (what: string) => LoopError;

function checkErrno(name: string, refuse: Refuse): string {
  if (Object.hasOwn(constants.errno, name)) return name;
  throw refuse(`there is no errno '${name}'`);
}

function checkRanges(ranges: readonly FaultRange[], refuse: Refuse): FaultRange[] {
  if (ranges.length > MOST_RANGES)
    throw refuse(`it has ${ranges.length} ranges; ${MOST_RANGES} are the most`);
  return ranges.map(({ offset, length }) => {
    const isGood = Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length > 0;
    if (!isGood)
      throw refuse(`a range is an offset and a length of more than 0 bytes, not ${offset}:${length}`);
    return { offset, length };
  });
}

function checkDelay(delay: Delay | null | undefined, refuse: Refuse): Delay {
  if (delay === undefined || delay === null) throw refuse("the kind delay needs 'delay', milliseconds");
  const time = (field: string, value: number): number => {
    if (typeof value === 'number' && value >= 0 && value <= LONGEST_DELAY_MS) return value;
    throw refuse(`'${field}' of a delay is from 0 to ${LONGEST_DELAY_MS} ms, not ${String(value)}`);
  };
  switch (delay.distribution) {
    case 'fixed':
      return { distribution: 'fixed', ms: time('ms', delay.ms) };
    case 'uniform': {
      const [min, max] = [time('min', delay.min), time('max', delay.max)];
      if (min > max)
        throw refuse(`a uniform delay from ${min} to ${max} ms has its ends the wrong way round`);
      return { distribution: 'uniform', min, max };
    }
    case 'normal':
      return {
        distribution: 'normal',
        mean: time('mean', delay.mean),
        deviation: time('deviation', delay.deviation),
      };
    case 'pareto':
      if (!(delay.shape > 0 && delay.shape <= 1000)) {
        throw refuse(`'shape' of a pareto delay is above 0, and 1000 at most, not ${String(delay.shape)}`);
      }
      return { distribution: 'pareto', min: time('min', delay.min), shape: delay.shape };
    default:
      throw refuse('a delay is fixed, uniform, normal or pareto');
  }
}
