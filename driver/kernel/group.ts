/** Groups of users by name, wherever the machine keeps them (files, LDAP, ...). */

import koffi from 'koffi';
import { LoopError } from '../errno.js';

/** getgrnam_r(3): 0, also where there is no such group, and then `found` stays null. */
const getgrnam = koffi
  .load('libc.so.6')
  .func('int getgrnam_r(const char *name, uint8_t *group, uint8_t *text, size_t bytes, uint64_t *found)') as (
  name: string,
  group: Buffer,
  text: Buffer,
  bytes: number,
  found: BigUint64Array,
) => number;

/** struct group of grp.h on 64-bit processors: name, password, number, members. */
const GROUP = { BYTES: 32, GID: 16 } as const;
/** For the names of a group's members. */
const TEXT_BYTES = 1 << 20;

/** The number of a group; digits are a number already. ENOENT for a name that nobody knows. */
export function groupNumber(group: string): number {
  if (/^\d{1,9}$/.test(group)) return Number(group);
  const entry = Buffer.alloc(GROUP.BYTES);
  const found = new BigUint64Array(1);
  const result = getgrnam(group, entry, Buffer.alloc(TEXT_BYTES), TEXT_BYTES, found);
  if (result !== 0 || found[0] === 0n) throw new LoopError('ENOENT', `there is no group named ${group}`);
  return entry.readUInt32LE(GROUP.GID);
}
