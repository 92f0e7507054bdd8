/** The machines that QEMU emulates for guests, by architecture. */
import type { DebianArch } from './debian.js';

export interface Machine {
  /** QEMU's program, from the Debian package that suites.ts names. */
  readonly program: string;
  /** Its options: accelerator, board, processor. */
  readonly options: readonly string[];
  /** Parameters of the kernel; the console is on the first serial port. */
  readonly kernelParameters: string;
}

/** No processor's state is the host's: what passes on one machine passes on all. */
const EMULATED = ['-accel', 'tcg,thread=multi'];

export const GUEST_MACHINES: Readonly<Record<DebianArch, Machine>> = {
  amd64: {
    program: 'qemu-system-x86_64',
    /**
     * Everything that the emulation has, but for what it makes slow: copying by string instructions goes byte by byte,
     * tables of a fifth level are walked in software, and each copy from user space would change a flag twice.
     */
    options: [...EMULATED, '-cpu', 'max,erms=off,fsrm=off,la57=off,smap=off'],
    kernelParameters: 'console=ttyS0 tsc=reliable',
  },
  arm64: {
    program: 'qemu-system-aarch64',
    /** Pointers are signed by a cheap function of QEMU's own. */
    options: [...EMULATED, '-machine', 'virt', '-cpu', 'max,pauth-impdef=on'],
    kernelParameters: 'console=ttyAMA0',
  },
};
