/** JSON schemas of the control API (draft 7, as fastify takes them): what `messages.ts` says in types. */

import { faultRule, limits, limitsChange } from './bench-schemas.js';
import {
  answer,
  blockSize,
  bytes,
  count,
  exact,
  exactAnswer,
  flag,
  flagThat,
  nullableExact,
  object,
  path,
  text,
} from './schema-parts.js';

export * from './bench-schemas.js';
export * from './overlay-schemas.js';
export * from './remote-schemas.js';

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
  offset: exactAnswer,
  sizeLimit: exactAnswer,
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
