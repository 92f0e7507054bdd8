import { constants } from 'node:os';
import { WireErrno } from './constants.js';

const { errno } = constants;
/** Node's table lacks it; asm-generic/errno.h. */
const ESHUTDOWN = 108;

/** Linux errno → errno of the wire, where the protocol has a word for it; everything else is EIO. */
const WIRE_OF: ReadonlyMap<number, number> = new Map([
  [0, WireErrno.OK],
  [errno.EPERM, WireErrno.EPERM],
  [errno.EACCES, WireErrno.EPERM],
  [errno.EROFS, WireErrno.EPERM],
  [errno.EIO, WireErrno.EIO],
  [errno.ENOMEM, WireErrno.ENOMEM],
  [errno.EINVAL, WireErrno.EINVAL],
  [errno.ENOSPC, WireErrno.ENOSPC],
  [errno.EDQUOT, WireErrno.ENOSPC],
  [errno.EFBIG, WireErrno.ENOSPC],
  [errno.EOVERFLOW, WireErrno.EOVERFLOW],
  // Linux has one number for both names.
  [errno.EOPNOTSUPP, WireErrno.ENOTSUP],
  [ESHUTDOWN, WireErrno.ESHUTDOWN],
]);

/** The number a reply carries for a Linux errno ("Error values" of the protocol document). */
export const wireErrno = (linux: number): number => WIRE_OF.get(linux) ?? WireErrno.EIO;
