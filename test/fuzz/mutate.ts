/** Changes to inputs: of bytes, of numbers, and of whole options and requests. */
import type { ReplyMode } from '../../server/negotiation/outcome.js';
import { DEVICES, handshakeFor, someOption, someRequest } from './grammar.js';
import { inputOf, PLAN_BYTES } from './input.js';
import type { Random } from './random.js';

/** Longest input in bytes: enough for a write that is not written whole. */
export const MAX_INPUT = 160 << 10;

const MODES: readonly ReplyMode[] = ['simple', 'structured', 'extended'];
const NUMBERS = [0n, 1n, 2n, 3n, 7n, 8n, 255n, 512n, 4096n, 65535n, 65536n, 2n ** 31n, 2n ** 32n - 1n];
const LONG_NUMBERS = [
  ...NUMBERS,
  2n ** 53n - 1n,
  2n ** 53n + 1n,
  2n ** 63n,
  2n ** 64n - 512n,
  2n ** 64n - 1n,
];
/** First bytes of an option and of the two requests. */
const STARTS = ['49484156454f5054', '25609513', '21e41c71'].map((hex) => Buffer.from(hex, 'hex'));

/** Where options and requests begin, as far as their magic tells; the end of the input too. */
function starts(input: Buffer): number[] {
  const found = [input.length];
  for (const magic of STARTS) {
    for (let at = input.indexOf(magic, PLAN_BYTES); at >= 0 && found.length < 64; ) {
      found.push(at);
      at = input.indexOf(magic, at + 1);
    }
  }
  return found.sort((a, b) => a - b);
}

const replace = (input: Buffer, from: number, to: number, by: Buffer): Buffer =>
  Buffer.concat([input.subarray(0, from), by, input.subarray(to)]);

/** A place in the input, near the start of an option or a request more often than not. */
function place(random: Random, input: Buffer): number {
  if (random.once(4)) return random.below(input.length);
  return Math.min(input.length - 1, random.pick(starts(input)) + random.below(36));
}

type Mutation = (random: Random, input: Buffer, corpus: readonly Buffer[]) => Buffer;

const flipBit: Mutation = (random, input) => {
  const at = place(random, input);
  return replace(input, at, at + 1, Buffer.from([(input[at] ?? 0) ^ (1 << random.below(8))]));
};

const setNumber: Mutation = (random, input) => {
  const span = random.pick([1, 2, 4, 8]);
  const value = random.pick(span === 8 ? LONG_NUMBERS : NUMBERS);
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(value);
  const at = place(random, input);
  return replace(input, at, at + span, bytes.subarray(8 - span));
};

const insertBytes: Mutation = (random, input) => {
  const at = place(random, input);
  return replace(input, at, at, random.bytes(1 + random.below(random.pick([4, 40]))));
};

const remove: Mutation = (random, input) => {
  const at = Math.max(PLAN_BYTES, place(random, input));
  return replace(input, at, at + 1 + random.below(random.pick([4, 40, 4000])), Buffer.alloc(0));
};

const truncate: Mutation = (random, input) => input.subarray(0, Math.max(PLAN_BYTES, place(random, input)));

const insertOption: Mutation = (random, input) => {
  const at = random.pick(starts(input));
  return replace(input, at, at, someOption(random));
};

const insertRequest: Mutation = (random, input) => {
  const at = random.pick(starts(input));
  return replace(input, at, at, someRequest(random, random.pick(MODES)));
};

/** The part between two starts again, or not at all. */
const repeatPart: Mutation = (random, input) => {
  const [from = 0, to = 0] = [random.pick(starts(input)), random.pick(starts(input))].sort((a, b) => a - b);
  const part = input.subarray(from, to);
  return replace(input, from, to, random.once(2) ? Buffer.concat([part, part]) : Buffer.alloc(0));
};

const splice: Mutation = (random, input, corpus) => {
  const other = random.pick(corpus);
  return replace(input, random.pick(starts(input)), input.length, other.subarray(random.pick(starts(other))));
};

const changePlan: Mutation = (random, input) => {
  const at = random.below(PLAN_BYTES);
  return replace(input, at, at + 1, random.bytes(1));
};

const MUTATIONS: readonly Mutation[] = [
  ...[flipBit, setNumber, setNumber, insertBytes, remove, truncate],
  ...[insertOption, insertRequest, insertRequest, repeatPart, splice, changePlan],
];

/** A changed copy of an input of the corpus, at times a session of nothing but random requests. */
export function mutate(random: Random, corpus: readonly Buffer[]): Buffer {
  let input = random.once(20) ? fresh(random) : random.pick(corpus);
  for (let left = 1 + random.below(random.pick([2, 6])); left > 0; left--) {
    const changed = random.pick(MUTATIONS)(random, input, corpus);
    if (changed.length >= PLAN_BYTES) input = changed.subarray(0, MAX_INPUT);
  }
  return Buffer.from(input);
}

function fresh(random: Random): Buffer {
  const mode = random.pick(MODES);
  const requests = Array.from({ length: 1 + random.below(8) }, () => someRequest(random, mode));
  return inputOf(
    Buffer.concat([handshakeFor(mode, random.pick(DEVICES)), ...requests]),
    random.bytes(PLAN_BYTES),
  );
}
