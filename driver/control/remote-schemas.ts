/** JSON schemas of devices of other hosts. */
import { answer, count, flag, object, path, text, textOrNull } from './schema-parts.js';

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

const state = { type: 'string', enum: ['negotiating', 'attached', 'lost', 'waiting', 'given-up'] } as const;
export const remoteStatus = answer({
  number: count,
  node: textOrNull,
  uris: { type: 'array', items: text },
  uri: text,
  state,
  since: text,
  errno: textOrNull,
  message: textOrNull,
  losses: count,
  awaySeconds: { type: 'number' },
  transitions: { type: 'array', items: answer({ from: state, to: state, at: text, message: textOrNull }) },
  size: count,
  uuid: textOrNull,
  description: textOrNull,
  readOnly: flag,
  connections: count,
  timeout: count,
  deadTimeout: count,
});
export const remoteList = { type: 'array', items: remoteStatus } as const;
