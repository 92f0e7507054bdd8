/** What a caller of the API means by a file, as the driver takes it. */

import type { Socket } from 'node:net';
import koffi from 'koffi';
import { LoopError } from '../errno.js';
import { identityFromJson } from '../io/file-identity.js';
import type { MeantFileFields } from './context.js';
import type { MeantFile } from './messages.js';

const getsockopt = koffi
  .load('libc.so.6')
  .func('int getsockopt(int fd, int level, int name, void *value, void *length)') as (
  fd: number,
  level: number,
  name: number,
  value: Buffer,
  length: Buffer,
) => number;

const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
/** struct ucred: process, user, group. */
const UCRED_BYTES = 12;

/**
 * Its descriptor is taken as /proc/PID/fd/N of the process that has connected: no message can claim to be another's.
 * Throws EINVAL for an identity that is none.
 */
export function meantFields(
  { identity, descriptor, exclusive }: Omit<MeantFile, 'file'>,
  socket: Socket,
): MeantFileFields {
  const fields: MeantFileFields = exclusive === undefined ? {} : { exclusive };
  if (identity === undefined) return fields;
  const meant = identityFromJson(identity);
  if (meant === undefined)
    throw new LoopError('EINVAL', 'The identity of the file is not one of 64-bit numbers.');
  fields.identity = meant;
  const process = descriptor === undefined ? 0 : peerProcess(socket);
  if (process > 0) fields.through = `/proc/${process}/fd/${descriptor}`;
  return fields;
}

/** Number of the process that connected a Unix socket; 0 when that is not to be seen from here (another PID namespace). */
function peerProcess(socket: Socket & { readonly _handle?: { readonly fd?: number } | null }): number {
  const fd = socket._handle?.fd ?? -1;
  if (fd < 0) return 0;
  const credentials = Buffer.alloc(UCRED_BYTES);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(UCRED_BYTES);
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, credentials, length) !== 0) return 0;
  return credentials.readInt32LE(0);
}
