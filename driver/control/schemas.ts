/** JSON schemas of the control API (draft 7, as fastify takes them): what `messages.ts` says in types. */

const bytes = {
  oneOf: [
    { type: 'integer', minimum: 0 },
    { type: 'string', pattern: '^[0-9]{1,40}$' },
  ],
  description:
    'Bytes, 0 to 2^63 - 1: a number, or decimal digits for those whose JSON numbers are not exact.',
} as const;
const path = {
  type: 'string',
  pattern: '^/[^\\u0000]*$',
  maxLength: 4096,
  description: 'Absolute path.',
} as const;
const flag = { type: 'boolean' } as const;
const flagThat = (description: string) => ({ ...flag, description }) as const;
const count = { type: 'integer', minimum: 0 } as const;
const text = { type: 'string' } as const;
const exact = {
  oneOf: [
    { type: 'integer', minimum: 0, maximum: Number.MAX_SAFE_INTEGER },
    { type: 'string', pattern: '^[0-9]{1,20}$' },
  ],
  description: 'Unsigned, 64 bits: a number, or decimal digits beyond 2^53 - 1.',
} as const;
const nullableExact = { type: ['integer', 'string', 'null'], description: exact.description } as const;
const blockSize = { type: 'integer', description: 'Bytes, a power of two, 512 to 4096.' } as const;

/** A closed object: unknown fields are refused, so that a misspelt option is an error and not a default. */
const object = <P extends Record<string, unknown>>(
  properties: P,
  required: readonly (keyof P & string)[] = [],
) => ({ type: 'object', additionalProperties: false, properties, required }) as const;

/** An answer: the fields given are always there. */
const answer = (properties: Record<string, unknown>) => ({
  type: 'object',
  properties,
  required: Object.keys(properties),
});

export const deviceParams = object({ number: { type: 'string', pattern: '^[0-9]{1,15}$' } }, ['number']);
export const forceQuery = object({ force: { type: 'string', enum: ['true', 'false'] } });

export const addRequest = {
  ...object({ number: { type: 'integer', minimum: -1, maximum: 1_048_575 } }),
  nullable: true,
} as const;

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
const faultRule = object(faultFields, ['kind']);
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

const meantFile = {
  file: path,
  identity: object({ device: exact, inode: exact, birthTime: exact, blockDevice: exact }, [
    'device',
    'inode',
  ]),
  descriptor: {
    type: 'integer',
    minimum: 0,
    maximum: 0x7fff_ffff,
    description:
      'Of the calling process, open until the answer comes: another way to the same file. With identity only.',
  },
  exclusive: flagThat(
    'EBUSY where another program holds an image lock (qemu) against it; else that is a warning.',
  ),
} as const;
const words = {
  exportName: {
    ...text,
    description:
      'A name of the export beside loopN: at most 4096 bytes of UTF-8 on one line, unlike any other; not loop and a number, *, or ending in :ro. Empty: none.',
  },
  description: {
    ...text,
    description:
      'What clients are told of the export: at most 4053 bytes of UTF-8 on one line. Empty: the file.',
  },
} as const;
const configureFields = {
  ...meantFile,
  ...words,
  offset: bytes,
  sizeLimit: bytes,
  blockSize,
  readOnly: flagThat('Default: false, or true for a file that cannot be written.'),
  autoclear: flagThat('The last close lets go of the file.'),
  partscan: flagThat('The kernel looks for partitions when the device is attached.'),
  directIo: flagThat(
    'Past the page cache; off, with a warning, where the file system or the offset does not allow it.',
  ),
  reference: {
    type: 'string',
    maxLength: 63,
    pattern: '^[^\\u0000]*$',
    description: 'A name for links in /dev/disk/by-loop-ref, at most 63 bytes. Default: the file.',
  },
  overlay: {
    ...object({
      delta: path,
      temporary: { type: 'boolean', const: true },
      force: flag,
      blockSize: { type: 'integer', enum: [4096, 8192, 16384, 32768, 65536] },
    }),
    oneOf: [{ required: ['delta'] }, { required: ['temporary'] }],
  },
  noOverlap: flagThat(
    'EEXIST where a device serves a part of this range already; find returns one that serves exactly it.',
  ),
  faults: { type: 'array', maxItems: 256, items: faultRule },
  limits: limitsChange,
  volatileCache: {
    type: 'boolean',
    description: 'Writes are durable only once a flush or FUA has asked for it.',
  },
  logWrites: {
    ...path,
    description: 'Absolute path of a log of writes (dm-log-writes), which is made or emptied.',
  },
} as const;
export const configureRequest = object(configureFields, ['file']);
export const findRequest = configureRequest;
export const changeFileRequest = object(meantFile, ['file']);
export const settingsRequest = object({
  offset: bytes,
  sizeLimit: bytes,
  autoclear: flagThat('The last close lets go of the file.'),
  partscan: flagThat('Can be set; false changes nothing.'),
  ...words,
});
export const directIoRequest = object({ on: flagThat('Past the page cache.') }, ['on']);
export const blockSizeRequest = object({ bytes: blockSize }, ['bytes']);
export const attachRequest = {
  ...object({
    by: { type: 'string', enum: ['nbd-client', 'netlink'] },
    connections: { type: 'integer', minimum: 1, maximum: 16, description: 'Sockets. Default: 1.' },
    timeout: {
      type: 'integer',
      minimum: 0,
      maximum: 86_400,
      description: 'Seconds after which a request is sent again. Default: 0, never.',
    },
    deadTimeout: {
      type: 'integer',
      minimum: 0,
      maximum: 86_400,
      description: 'Seconds that the kernel waits for a daemon that is gone. Default: 30.',
    },
  }),
  nullable: true,
} as const;

const timeouts = { type: 'integer', minimum: 0, maximum: 86_400 } as const;
export const remoteAttachRequest = object(
  {
    uris: {
      type: 'array',
      minItems: 1,
      maxItems: 16,
      items: { type: 'string', minLength: 1, maxLength: 8192 },
    },
    connections: { type: 'integer', minimum: 1, maximum: 16 },
    timeout: timeouts,
    deadTimeout: timeouts,
    readOnly: flag,
    tls: object({
      ca: path,
      cert: path,
      key: path,
      psk: path,
      user: { type: 'string', minLength: 1, maxLength: 255 },
      hostname: { type: 'string', minLength: 1, maxLength: 255 },
    }),
  },
  ['uris'],
);

export const recoverRequest = {
  ...object({
    file: path,
    force: flagThat('Takes another file than was meant, of the same size: the caller vouches for it.'),
  }),
  nullable: true,
} as const;

export const errorBody = answer({ errno: text, message: text });
export const deviceNumber = answer({ number: count, name: text });
export const clearAnswer = answer({ outcome: { type: 'string', enum: ['cleared', 'deferred', 'hanging'] } });

const counters = answer({
  inFlight: count,
  reads: count,
  writes: count,
  flushes: count,
  trims: count,
  writeZeroes: count,
  caches: count,
  blockStatuses: count,
  errors: count,
  readBytes: count,
  writtenBytes: count,
  parked: count,
  throttled: count,
  throttledMs: { type: 'number' },
  faulted: count,
  latency: { type: 'array', items: count },
});

export const deviceStatus = answer({
  number: count,
  name: text,
  uuid: { type: ['string', 'null'] },
  state: { type: 'string', enum: ['unbound', 'bound', 'rundown', 'deleting'] },
  openers: count,
  file: { type: ['string', 'null'] },
  size: count,
  offset: count,
  sizeLimit: count,
  blockSize,
  readOnly: flag,
  autoclear: flag,
  partscan: flag,
  directIo: flag,
  reference: { type: ['string', 'null'] },
  exportName: { type: ['string', 'null'] },
  description: { type: ['string', 'null'] },
  backingInode: nullableExact,
  backingDevice: nullableExact,
  dioAlignment: count,
  delta: { type: ['string', 'null'] },
  layers: count,
  generation: count,
  warnings: { type: 'array', items: text },
  node: { type: ['string', 'null'] },
  limits,
  faults: count,
  volatileCache: flag,
  writeLog: { type: ['string', 'null'] },
  uris: { type: 'array', items: text },
  counters,
});
export const layerList = {
  type: 'array',
  items: answer({
    kind: { type: 'string', enum: ['delta', 'base'] },
    path: text,
    uuid: { type: ['string', 'null'] },
    inode: exact,
    device: exact,
    blockSize: { type: ['integer', 'null'] },
    heldBlocks: { type: ['integer', 'null'] },
    heldBytes: { type: ['integer', 'null'] },
    size: count,
  }),
} as const;
const copyRate = {
  type: 'integer',
  minimum: 0,
  description: 'Bytes a second at most; 0: no limit.',
} as const;
export const moveRequest = object({ file: path, rate: copyRate }, ['file']);
export const flattenRequest = { ...object({ file: path, rate: copyRate }), nullable: true } as const;
export const commitRequest = { ...object({ rate: copyRate }), nullable: true } as const;
export const copyStatus = answer({
  kind: { type: 'string', enum: ['move', 'flatten', 'commit'] },
  file: text,
  state: { type: 'string', enum: ['running', 'done', 'failed', 'cancelled'] },
  doneBytes: count,
  totalBytes: count,
  rate: { type: 'number' },
  errno: { type: ['string', 'null'] },
  message: { type: ['string', 'null'] },
  waitedMs: { type: ['number', 'null'] },
});
export const snapshotRequest = object(
  {
    devices: {
      type: 'array',
      minItems: 1,
      maxItems: 1024,
      items: object({ number: { type: 'integer', minimum: 0, maximum: 1_048_575 }, file: path }, [
        'number',
        'file',
      ]),
    },
    fsfreeze: flag,
  },
  ['devices'],
);
export const snapshotList = {
  type: 'array',
  items: answer({
    number: count,
    file: text,
    kind: { type: 'string', enum: ['clone', 'sealed'] },
    delta: { type: ['string', 'null'] },
    waitedMs: { type: 'number' },
    drainedMs: { type: 'number' },
  }),
} as const;
export const unrecoveredList = {
  type: 'array',
  items: answer({
    number: count,
    name: text,
    uuid: text,
    exportName: { type: ['string', 'null'] },
    file: text,
    errno: text,
    message: text,
    node: { type: ['string', 'null'] },
  }),
} as const;
const textOrNull = { type: ['string', 'null'] } as const;
export const remoteStatus = answer({
  number: count,
  node: textOrNull,
  uris: { type: 'array', items: text },
  uri: text,
  state: { type: 'string', enum: ['negotiating', 'attached', 'lost', 'waiting', 'given-up'] },
  since: text,
  errno: textOrNull,
  message: textOrNull,
  losses: count,
  size: count,
  uuid: textOrNull,
  description: textOrNull,
  readOnly: flag,
  connections: count,
  timeout: count,
  deadTimeout: count,
});
export const remoteList = { type: 'array', items: remoteStatus } as const;
export const deviceList = { type: 'array', items: deviceStatus } as const;

export const daemonInfo = answer({
  version: text,
  pid: count,
  startedAt: text,
  listeners: { type: 'array', items: text },
  connections: count,
  reactors: count,
  descriptorLimit: { type: ['integer', 'null'] },
  settings: {
    type: 'object',
    required: ['loadedAt', 'error'],
    properties: { loadedAt: text, error: { type: ['string', 'null'] } },
  },
});

export const freezeList = {
  type: 'array',
  items: answer({
    number: count,
    at: { type: 'number', description: 'Milliseconds since 1970.' },
    by: text,
    drained: { type: ['number', 'null'], description: 'Milliseconds; null: requests are in flight still.' },
    held: { type: ['number', 'null'], description: 'Milliseconds; null: it is on.' },
    waited: count,
  }),
} as const;

export const connectionList = {
  type: 'array',
  items: answer({ id: count, peer: text, export: text, since: text }),
} as const;

export const pageAddress = answer({ url: text, origin: text, token: text });
