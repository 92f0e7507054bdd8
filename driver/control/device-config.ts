/** What a request asks of a device, as the driver takes it. */

import type { Socket } from 'node:net';
import type { LoopConfigFields, LoopSettingsFields } from './context.js';
import { meantFields } from './meant.js';
import type * as messages from './messages.js';

/** `socket`: of the caller, whose descriptor may be meant. */
export function configOf(
  {
    offset,
    sizeLimit,
    identity,
    descriptor,
    exclusive,
    ...rest
  }: Omit<messages.ConfigureRequest, 'noOverlap'>,
  socket: Socket,
): LoopConfigFields {
  const meant = { ...optional({ identity }), ...optional({ descriptor }), ...optional({ exclusive }) };
  return {
    ...rest,
    ...meantFields(meant, socket),
    ...settingsOf({ ...optional({ offset }), ...optional({ sizeLimit }) }),
  };
}

export function settingsOf({ offset, sizeLimit, ...flags }: messages.SettingsRequest): LoopSettingsFields {
  return {
    ...flags,
    ...optional({ offset: offset === undefined ? undefined : bytesOf(offset) }),
    ...optional({ sizeLimit: sizeLimit === undefined ? undefined : bytesOf(sizeLimit) }),
  };
}

function bytesOf(bytes: messages.Bytes): number | bigint {
  const exact = Number(bytes);
  return Number.isSafeInteger(exact) ? exact : BigInt(bytes);
}

/** An absent field stays absent: exactOptionalPropertyTypes tells it from undefined. */
function optional<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const entries = Object.entries(fields).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [K in keyof T]?: Exclude<T[K], undefined> };
}
