/** Groups of users by name, wherever the machine keeps them (files, LDAP, ...). */

import koffi from 'koffi';
import { LoopError } from '../errno.js';

/** struct group of grp.h. */
const Group = koffi.struct({ name: 'str', password: 'str', gid: 'uint32', members: 'void *' });
const getgrnam = koffi.load('libc.so.6').func('getgrnam', koffi.pointer(Group), ['str']) as (
  name: string,
) => unknown;

/** The number of a group; digits are a number already. ENOENT for a name that nobody knows. */
export function groupNumber(group: string): number {
  if (/^\d{1,9}$/.test(group)) return Number(group);
  const found = getgrnam(group);
  if (found === null) throw new LoopError('ENOENT', `there is no group named ${group}`);
  return (koffi.decode(found, Group) as { gid: number }).gid;
}
