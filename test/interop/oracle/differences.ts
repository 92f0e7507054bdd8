/** The differences from the kernel that are intended: docs/semantics.md gives the reason for each. */
import type { Operation } from './operations.js';
import type { OracleConfig, OracleFile, OracleView, Transfer } from './side.js';

/** One operation, what both sides answered, and the device before it. */
export interface Comparison {
  readonly operation: Operation;
  readonly ours: string | number | Transfer;
  readonly kernel: string | number | Transfer;
  readonly before: OracleView;
  /** Present size of the backing file, bytes; 0 when there is none. */
  readonly fileSize: number;
}

interface Difference {
  /** As docs/semantics.md names it. */
  readonly title: string;
  allows(comparison: Comparison): boolean;
}

const SECTOR = 512;

const isTransfer = (answer: Comparison['ours']): answer is Transfer => typeof answer === 'object';

/** First position behind an I/O, relative to the device. */
const endOf = ({ operation }: Comparison): number =>
  Number(operation.arguments[0]) + Number(operation.arguments[1]);

const isIo = (operation: Operation): boolean => operation.name === 'read' || operation.name === 'write';

export const DIFFERENCES: readonly Difference[] = [
  {
    title: 'I/O on an unbound device is EIO',
    allows: ({ operation, ours, kernel, before }) =>
      isIo(operation) &&
      before.bound === null &&
      isTransfer(ours) &&
      ours.errno === 'EIO' &&
      isTransfer(kernel) &&
      kernel.length === 0 &&
      ['none', 'ENOSPC', 'EPERM'].includes(kernel.errno),
  },
  {
    title: 'I/O past the end of the device is refused whole',
    allows: (comparison) => {
      const { operation, ours, kernel, before } = comparison;
      if (!isIo(operation) || before.bound === null || endOf(comparison) <= before.size) return false;
      const expected = operation.name === 'read' ? 'EINVAL' : 'ENOSPC';
      if (!isTransfer(ours) || ours.errno !== expected || !isTransfer(kernel)) return false;
      return kernel.length <= Math.max(0, before.size - Number(operation.arguments[0]));
    },
  },
  {
    title: 'a read past the end of a file that shrank gives zeroes',
    allows: (comparison) => {
      const { operation, ours, kernel, before, fileSize } = comparison;
      const offset = Number(before.bound?.offset ?? 0n);
      const isPast = operation.name === 'read' && offset + endOf(comparison) > fileSize;
      if (!isPast || !isTransfer(ours) || ours.errno !== 'none' || !isTransfer(kernel)) return false;
      if (kernel.errno === 'EIO') return true;
      // It goes on behind the last whole sector: reads that again, or has odd memory for direct I/O.
      const there = fileSize - offset - Number(operation.arguments[0]);
      if (there <= 0 || there % SECTOR === 0) return false;
      if (kernel.errno !== 'none') return kernel.errno === 'EINVAL' && before.bound?.directIo === true;
      if (!ours.data || !kernel.data) return false;
      const isSame = ours.data.subarray(0, there).equals(kernel.data.subarray(0, there));
      return isSame && ours.data.subarray(there).every((byte) => byte === 0);
    },
  },
  {
    title: 'change_fd looks at the device first, then at the file',
    allows: ({ operation, ours, kernel }) =>
      operation.name === 'change_fd' &&
      operation.arguments[0] === 'missing' &&
      kernel === 'EBADF' &&
      (ours === 'ENXIO' || ours === 'EINVAL'),
  },
  {
    title: 'the block size is looked at before the offset (newer kernels: after)',
    allows: ({ operation, ours, kernel }) =>
      operation.name === 'configure' && ours === 'EINVAL' && kernel === 'EOVERFLOW',
  },
  {
    title: 'a directory is looked at after the device (newer kernels: before)',
    allows: ({ operation, ours, kernel }) =>
      isOn(operation, 'directory') && kernel === 'EINVAL' && (ours === 'ENXIO' || ours === 'EBUSY'),
  },
];

/** True for a configure or change_fd with this file. */
function isOn({ name, arguments: [first] }: Operation, file: OracleFile): boolean {
  if (name === 'change_fd') return first === file;
  return name === 'configure' && (first as OracleConfig).file === file;
}
