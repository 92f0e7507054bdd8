/**
 * The file that a caller means, held open while it asks the daemon for it. What is sent is what the caller sees under a
 * name: the daemon may see another file there (another mount namespace, a rename in between), and must not take that.
 */

import { closeSync, fstatSync, openSync, readlinkSync } from 'node:fs';
import { toExactNumber } from '../exact-number.js';
import { nameFromBytes, nameToBytes } from '../file-name.js';
import type { MeantFile, MeantIdentity } from './messages.js';

/** O_PATH of asm-generic/fcntl.h: nothing is opened, so that a tape is not rewound. */
const O_PATH = 0o10000000;

/** While it is open its inode number is not used again. */
export class OpenMeantFile implements Disposable {
  private constructor(
    readonly fields: Required<Omit<MeantFile, 'exclusive'>>,
    /** Bytes; undefined where it is no regular file. */
    readonly size: number | undefined,
  ) {}

  /** Throws Node's error of open(2). `path` is absolute; links are resolved in what is sent. */
  static open(path: string): OpenMeantFile {
    const descriptor = openSync(nameToBytes(path), O_PATH);
    const stat = fstatSync(descriptor, { bigint: true });
    // Node reads unsigned numbers as signed.
    const exact = (value: bigint) => toExactNumber(BigInt.asUintN(64, value));
    const identity: MeantIdentity = {
      device: exact(stat.dev),
      inode: exact(stat.ino),
      ...(stat.isBlockDevice() ? { blockDevice: exact(stat.rdev) } : {}),
    };
    const file = resolved(descriptor) ?? path;
    return new OpenMeantFile({ file, identity, descriptor }, stat.isFile() ? Number(stat.size) : undefined);
  }

  [Symbol.dispose](): void {
    closeSync(this.fields.descriptor);
  }
}

/** Without /proc the name stays as it was given. */
function resolved(descriptor: number): string | undefined {
  try {
    const path = nameFromBytes(readlinkSync(`/proc/self/fd/${descriptor}`, { encoding: 'buffer' }));
    return path.startsWith('/') ? path : undefined;
  } catch {
    return undefined;
  }
}
