/** The host's own loop driver through its ioctls (uapi linux/loop.h), for comparison with ours. */
import { execFileSync } from 'node:child_process';
import { closeSync, constants, existsSync, openSync, readFileSync } from 'node:fs';
import koffi from 'koffi';
import { errnoName } from '../../../driver/errno.js';

const libc = koffi.load('libc.so.6');
const ioctlCall = libc.func('int ioctl(int fd, unsigned long request, ...)');

/** ioctl numbers. */
const Ioctl = {
  CLR_FD: 0x4c01,
  SET_STATUS64: 0x4c04,
  GET_STATUS64: 0x4c05,
  CHANGE_FD: 0x4c06,
  SET_CAPACITY: 0x4c07,
  SET_DIRECT_IO: 0x4c08,
  SET_BLOCK_SIZE: 0x4c09,
  CONFIGURE: 0x4c0a,
  CTL_ADD: 0x4c80,
  CTL_REMOVE: 0x4c81,
  CTL_GET_FREE: 0x4c82,
} as const;

/** LO_FLAGS_ bits. */
const Flag = { READ_ONLY: 1, AUTOCLEAR: 4, PARTSCAN: 8, DIRECT_IO: 16 } as const;

/** Offsets in `struct loop_info64` and `struct loop_config`, bytes. */
const Info = { INODE: 8, OFFSET: 24, SIZE_LIMIT: 32, FLAGS: 52, SIZE: 232 } as const;
const Config = { FD: 0, BLOCK_SIZE: 4, INFO: 8, SIZE: 304 } as const;

/** A result, or the name of the errno. */
export type Answer<T> = { readonly errno: 'none'; readonly value: T } | { readonly errno: string };

export interface KernelStatus {
  readonly inode: bigint;
  readonly offset: bigint;
  readonly sizeLimit: bigint;
  readonly readOnly: boolean;
  readonly autoclear: boolean;
  readonly partscan: boolean;
  readonly directIo: boolean;
}

export interface KernelConfig {
  readonly fd: number;
  readonly offset: bigint;
  readonly sizeLimit: bigint;
  readonly blockSize: number;
  readonly readOnly: boolean;
  readonly autoclear: boolean;
  readonly partscan: boolean;
  readonly directIo: boolean;
}

function ioctl(fd: number, request: number, argument: number | Buffer): Answer<number> {
  const result: number =
    typeof argument === 'number'
      ? ioctlCall(fd, request, 'long', argument)
      : ioctlCall(fd, request, 'void *', argument);
  return result < 0 ? { errno: errnoName(koffi.errno()) } : { errno: 'none', value: result };
}

const flagBits = (flags: Pick<KernelConfig, 'autoclear' | 'partscan'> & Partial<KernelConfig>): number =>
  (flags.readOnly ? Flag.READ_ONLY : 0) |
  (flags.autoclear ? Flag.AUTOCLEAR : 0) |
  (flags.partscan ? Flag.PARTSCAN : 0) |
  (flags.directIo ? Flag.DIRECT_IO : 0);

/** /dev/loop-control. */
export class KernelLoopControl implements Disposable {
  readonly #fd = openSync('/dev/loop-control', 'r+');

  /** The reason why the driver can't be used here, or false. */
  static obstacle(): string | false {
    if (!existsSync('/dev/loop-control')) return '/dev/loop-control does not exist';
    try {
      new KernelLoopControl()[Symbol.dispose]();
      return false;
    } catch (error) {
      return `/dev/loop-control can't be used (${(error as NodeJS.ErrnoException).code})`;
    }
  }

  add(number: number): string {
    return ioctl(this.#fd, Ioctl.CTL_ADD, number).errno;
  }

  remove(number: number): string {
    return ioctl(this.#fd, Ioctl.CTL_REMOVE, number).errno;
  }

  getFree(): Answer<number> {
    return ioctl(this.#fd, Ioctl.CTL_GET_FREE, 0);
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }
}

/** A descriptor of /dev/loopN: an opener. */
export class KernelLoopHandle implements Disposable {
  constructor(readonly fd: number) {}

  configure(config: KernelConfig): string {
    const bytes = Buffer.alloc(Config.SIZE);
    bytes.writeInt32LE(config.fd, Config.FD);
    bytes.writeUInt32LE(config.blockSize, Config.BLOCK_SIZE);
    bytes.writeBigUInt64LE(config.offset, Config.INFO + Info.OFFSET);
    bytes.writeBigUInt64LE(config.sizeLimit, Config.INFO + Info.SIZE_LIMIT);
    bytes.writeUInt32LE(flagBits(config), Config.INFO + Info.FLAGS);
    return ioctl(this.fd, Ioctl.CONFIGURE, bytes).errno;
  }

  changeFd(fd: number): string {
    return ioctl(this.fd, Ioctl.CHANGE_FD, fd).errno;
  }

  clear(): string {
    return ioctl(this.fd, Ioctl.CLR_FD, 0).errno;
  }

  getStatus(): Answer<KernelStatus> {
    const bytes = Buffer.alloc(Info.SIZE);
    const { errno } = ioctl(this.fd, Ioctl.GET_STATUS64, bytes);
    if (errno !== 'none') return { errno };
    const flags = bytes.readUInt32LE(Info.FLAGS);
    const value: KernelStatus = {
      inode: bytes.readBigUInt64LE(Info.INODE),
      offset: bytes.readBigUInt64LE(Info.OFFSET),
      sizeLimit: bytes.readBigUInt64LE(Info.SIZE_LIMIT),
      readOnly: (flags & Flag.READ_ONLY) !== 0,
      autoclear: (flags & Flag.AUTOCLEAR) !== 0,
      partscan: (flags & Flag.PARTSCAN) !== 0,
      directIo: (flags & Flag.DIRECT_IO) !== 0,
    };
    return { errno, value };
  }

  setStatus(status: Pick<KernelConfig, 'offset' | 'sizeLimit' | 'autoclear' | 'partscan'>): string {
    const bytes = Buffer.alloc(Info.SIZE);
    bytes.writeBigUInt64LE(status.offset, Info.OFFSET);
    bytes.writeBigUInt64LE(status.sizeLimit, Info.SIZE_LIMIT);
    bytes.writeUInt32LE(flagBits(status), Info.FLAGS);
    return ioctl(this.fd, Ioctl.SET_STATUS64, bytes).errno;
  }

  setCapacity(): string {
    return ioctl(this.fd, Ioctl.SET_CAPACITY, 0).errno;
  }

  setDirectIo(on: boolean): string {
    return ioctl(this.fd, Ioctl.SET_DIRECT_IO, on ? 1 : 0).errno;
  }

  setBlockSize(bytes: number): string {
    return ioctl(this.fd, Ioctl.SET_BLOCK_SIZE, bytes).errno;
  }

  [Symbol.dispose](): void {
    closeSync(this.fd);
  }
}

/** What sysfs tells of /dev/loopN, without opening it. */
export interface SysfsView {
  /** Bytes. */
  readonly size: number;
  readonly blockSize: number;
  readonly readOnly: boolean;
  /** Null when nothing is bound. */
  readonly bound: {
    readonly file: string;
    readonly offset: bigint;
    readonly sizeLimit: bigint;
    readonly autoclear: boolean;
    readonly partscan: boolean;
    readonly directIo: boolean;
  } | null;
}

export class KernelLoopDevice {
  /** `node` is made in a directory of the caller's: /dev may not have one. */
  constructor(
    readonly number: number,
    readonly node: string,
  ) {
    const [major = '', minor = ''] = this.#sysfs('dev').split(':');
    execFileSync('mknod', [node, 'b', major, minor]);
  }

  /** Throws what open(2) throws. */
  open(flags: number = constants.O_RDWR): KernelLoopHandle {
    return new KernelLoopHandle(openSync(this.node, flags));
  }

  view(): SysfsView {
    const file = this.#sysfsOrNull('loop/backing_file');
    return {
      size: Number(this.#sysfs('size')) * 512,
      blockSize: Number(this.#sysfs('queue/logical_block_size')),
      readOnly: this.#sysfs('ro') === '1',
      bound: file === null ? null : { file, ...this.#bound() },
    };
  }

  #bound(): Omit<NonNullable<SysfsView['bound']>, 'file'> {
    return {
      offset: BigInt(this.#sysfs('loop/offset')),
      sizeLimit: BigInt(this.#sysfs('loop/sizelimit')),
      autoclear: this.#sysfs('loop/autoclear') === '1',
      partscan: this.#sysfs('loop/partscan') === '1',
      directIo: this.#sysfs('loop/dio') === '1',
    };
  }

  #sysfs(attribute: string): string {
    return readFileSync(`/sys/block/loop${this.number}/${attribute}`, 'latin1').trim();
  }

  #sysfsOrNull(attribute: string): string | null {
    try {
      return this.#sysfs(attribute);
    } catch {
      return null;
    }
  }
}
