/**
 * System calls that this process may not make any more, nor threads it starts from here on: what a container's
 * profile does (seccomp(2)). There is no way back, so a test file that uses it stands alone.
 */
import { constants } from 'node:os';
import koffi from 'koffi';
import { addressOf } from '../../driver/io/file-calls.js';

export interface Refused {
  /** Number of the system call. */
  readonly call: number;
  /** Only with this number as argument `argument`, counted from 0. */
  readonly argument: number;
  readonly is: number;
  readonly errno: number;
}

const prctl = koffi
  .load('libc.so.6')
  .func('int prctl(int option, uintptr_t a, uintptr_t b, uintptr_t c, uintptr_t d)') as (
  ...words: [option: number, a: number, b: number, c: number, d: number]
) => number;

const PR_SET_SECCOMP = 22;
const PR_SET_NO_NEW_PRIVS = 38;
const SECCOMP_MODE_FILTER = 2;
const SECCOMP_RET_ERRNO = 0x0005_0000;
const SECCOMP_RET_ALLOW = 0x7fff_0000;

/** BPF: load a word of `struct seccomp_data`, jump if it is equal, return. */
const LOAD = 0x20;
const JUMP_EQUAL = 0x15;
const RETURN = 0x06;
const ARGUMENTS = 16;

type Instruction = readonly [code: number, jumpTrue: number, jumpFalse: number, value: number];

const refusal = ({ call, argument, is, errno }: Refused): Instruction[] => [
  [LOAD, 0, 0, 0],
  [JUMP_EQUAL, 0, 3, call],
  [LOAD, 0, 0, ARGUMENTS + 8 * argument],
  [JUMP_EQUAL, 0, 1, is],
  [RETURN, 0, 0, SECCOMP_RET_ERRNO | errno],
];

/** Throws where the system has no such filters. */
export function refuseCalls(...calls: readonly Refused[]): void {
  const program = [...calls.flatMap(refusal), [RETURN, 0, 0, SECCOMP_RET_ALLOW] as const];
  const code = Buffer.alloc(8 * program.length);
  for (const [index, [operation, jumpTrue, jumpFalse, value]] of program.entries()) {
    code.writeUInt16LE(operation, 8 * index);
    code.writeUInt8(jumpTrue, 8 * index + 2);
    code.writeUInt8(jumpFalse, 8 * index + 3);
    code.writeUInt32LE(value, 8 * index + 4);
  }
  const head = Buffer.alloc(16);
  head.writeUInt16LE(program.length, 0);
  head.writeBigUInt64LE(BigInt(addressOf(code)), 8);
  const done =
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) === 0 &&
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, addressOf(head), 0, 0) === 0;
  if (!done) throw new Error(`no seccomp filter: errno ${koffi.errno()}`);
}

/** Not through `driver/processor.ts`: mmap has a function in the C library, which the product uses. */
export const MMAP = process.arch === 'arm64' ? 222 : 9;
export const IO_URING_SETUP = 425;
export const IO_URING_ENTER = 426;
export const { EPERM, EAGAIN, ENOMEM } = constants.errno;
