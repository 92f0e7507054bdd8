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
