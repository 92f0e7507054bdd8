/** JSON schemas of faults, limits, power cuts and logs of writes. */
import { answer, count, flag, object, path, text } from './schema-parts.js';

const operations = ['read', 'write', 'flush', 'trim', 'zero'] as const;
const faultKinds = ['errno', 'delay', 'torn', 'lost', 'misdirected', 'flipped', 'hang'] as const;
const milliseconds = {
  type: 'number',
  minimum: 0,
  maximum: 86_400_000,
  description: 'Milliseconds.',
} as const;
const delay = {
  oneOf: [
    { type: 'null' },
    object({ distribution: { const: 'fixed' }, ms: milliseconds }, ['distribution', 'ms']),
    object({ distribution: { const: 'uniform' }, min: milliseconds, max: milliseconds }, [
      'distribution',
      'min',
      'max',
    ]),
    object({ distribution: { const: 'normal' }, mean: milliseconds, deviation: milliseconds }, [
      'distribution',
      'mean',
      'deviation',
    ]),
    object({ distribution: { const: 'pareto' }, min: milliseconds, shape: { type: 'number' } }, [
      'distribution',
      'min',
      'shape',
    ]),
  ],
} as const;
const maybe = (description: string, rest: object = {}) => ({
  type: ['integer', 'null'],
  minimum: 0,
  description,
  ...rest,
});
const faultFields = {
  id: { type: 'string', description: 'Names the rule within its device. Default: the lowest free number.' },
  kind: { type: 'string', enum: faultKinds },
  errno: { type: ['string', 'null'], description: 'Kind errno: its name, as EIO, which is the default.' },
  delay: { ...delay, description: 'Kind delay.' },
  sectors: maybe('Kind torn: sectors of 512 bytes that are done. Default: seeded, less than all.'),
  to: maybe('Kind misdirected: bytes of the device. Default: a seeded other place.'),
  bits: maybe('Kind flipped: how many bits. Default: 1.', { maximum: 4096 }),
  operations: {
    type: 'array',
    items: { type: 'string', enum: operations },
    description: 'Default: write for torn, lost and misdirected, read for flipped, else all.',
  },
  ranges: {
    type: 'array',
    maxItems: 256,
    items: object({ offset: count, length: { type: 'integer', minimum: 1 } }, ['offset', 'length']),
    description: 'Requests that touch one of these, bytes. Default: all of the device.',
  },
  fua: { type: 'boolean', description: 'Only requests that must be durable when they are answered.' },
  after: { ...count, description: 'Not the first so many of those that it looks at.' },
  every: { type: 'integer', minimum: 1, description: 'Of the rest, each n-th.' },
  probability: { type: 'number', minimum: 0, maximum: 1, description: 'Of those, by chance.' },
  count: maybe('Of those, at most so many.', { minimum: 1 }),
  seed: { ...count, description: 'Default: drawn, and told.' },
} as const;
export const faultRule = object(faultFields, ['kind']);
export const faultsRequest = object({ rules: { type: 'array', maxItems: 256, items: faultRule } }, ['rules']);
export const faultsAnswer = answer({
  rules: { type: 'array', items: answer({ ...faultFields, seen: count, hits: count, held: count }) },
});
export const releaseRequest = { ...object({ rule: text }), nullable: true } as const;
export const faultParams = object(
  { number: { type: 'string', pattern: '^[0-9]{1,15}$' }, rule: { type: 'string', maxLength: 64 } },
  ['number', 'rule'],
);

const keep = { type: 'string', enum: ['none', 'all', 'random'] } as const;
export const powerCutRequest = {
  ...object({
    keep: { ...keep, description: 'Of what was not made durable. Default: none.' },
    seed: { ...count, description: 'Default: drawn, and told.' },
    tear: { type: 'boolean', description: 'Of a write, some sectors may be kept and others not.' },
  }),
  nullable: true,
} as const;
export const powerCutAnswer = answer({
  keep,
  seed: count,
  tear: flag,
  writes: count,
  kept: count,
  torn: count,
});
export const volatileRequest = object(
  { on: { type: 'boolean', description: 'Off: what it holds is made durable.' } },
  ['on'],
);
export const logRequest = object({ file: { ...path, description: 'Absolute path; made, or emptied.' } }, [
  'file',
]);
export const markRequest = object(
  { name: { type: 'string', minLength: 1, description: 'At most 479 bytes.' } },
  ['name'],
);

const rate = (unit: string) => ({
  type: ['number', 'null'],
  exclusiveMinimum: 0,
  description: `${unit} a second; null: no limit.`,
});
const burst = (whose: string) => ({
  type: ['number', 'null'],
  minimum: 0,
  maximum: 3600,
  description: `Seconds${whose}: what was not used for up to so long may be used at once.`,
});
const limitFields = {
  iops: rate('Requests'),
  iopsRead: rate('READs'),
  iopsWrite: rate('WRITEs, TRIMs and WRITE_ZEROES'),
  bytes: rate('Bytes'),
  bytesRead: rate('Bytes read'),
  bytesWrite: rate('Bytes written'),
  burst: burst(''),
  burstRead: burst(", for reads' own limits"),
  burstWrite: burst(", for writes' own limits"),
};
export const limitsChange = object(limitFields);
export const limits = answer(limitFields);
