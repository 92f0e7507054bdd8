/** What depends on the processor: there is no system call of a guessed number. */
import { LoopError } from './errno.js';
import { seeDoctor } from './see-doctor.js';

/**
 * System calls that have no function in the C library and another number on each processor (`asm/unistd.h`); those
 * from 424 on have one number on all. Whoever adds a processor looks at every other constant, too: structures are read
 * and written little-endian with pointers of 64 bits, and the flags that `node:fs` does not bring (O_PATH, O_CLOEXEC,
 * O_NONBLOCK) are those of asm-generic, which x86-64 and arm64 share.
 */
const NUMBERS = {
  x64: { ioSetup: 206, ioDestroy: 207, ioGetevents: 208, ioSubmit: 209 },
  arm64: { ioSetup: 0, ioDestroy: 1, ioGetevents: 4, ioSubmit: 2 },
} as const;

const isKnown = (name: string): name is keyof typeof NUMBERS => Object.hasOwn(NUMBERS, name);

/** Throws ENOSYS on a processor that we do not know. */
export const expectKnownProcessor = (): void => void systemCallNumbers();

/** Those of this processor; throws ENOSYS on one that we do not know. */
export function systemCallNumbers(): (typeof NUMBERS)[keyof typeof NUMBERS] {
  const { arch } = process;
  if (isKnown(arch)) return NUMBERS[arch];
  const known = Object.keys(NUMBERS).join(' and ');
  throw new LoopError(
    'ENOSYS',
    `nbdloop runs on ${known} processors; this one is ${arch} ${seeDoctor('processor')}`,
  );
}
