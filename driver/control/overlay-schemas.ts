/** JSON schemas of layers, snapshots and copies. */
import { answer, count, exact, flag, object, path, text } from './schema-parts.js';

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
    syncedMs: { type: 'number' },
  }),
} as const;
