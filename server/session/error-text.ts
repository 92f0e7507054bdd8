import { WireErrno } from '../wire/constants.js';
import { wireErrno } from '../wire/errno.js';

/** What a structured error says to a person, by wire errno. At most 200 bytes each. */
const TEXT: ReadonlyMap<number, Uint8Array> = new Map(
  (
    [
      [WireErrno.EPERM, 'EPERM: the device is read-only'],
      [WireErrno.EIO, 'EIO: the device has no backing file, or the file failed'],
      [WireErrno.ENOMEM, 'ENOMEM: the server is out of memory'],
      [
        WireErrno.EINVAL,
        'EINVAL: the request is malformed, unaligned, too long or past the end of the device',
      ],
      [WireErrno.ENOSPC, 'ENOSPC: past the end of the device, or no space left for its file'],
      [WireErrno.EOVERFLOW, 'EOVERFLOW: the range is too long for one reply'],
      [WireErrno.ENOTSUP, 'ENOTSUP: the file system of the backing file cannot do this'],
      [WireErrno.ESHUTDOWN, 'ESHUTDOWN: the server is shutting down'],
    ] as const
  ).map(([errno, text]) => [errno, Buffer.from(text)]),
);

const NONE = new Uint8Array(0);

/** Text for a Linux errno. */
export const errorText = (errno: number): Uint8Array => TEXT.get(wireErrno(errno)) ?? NONE;
