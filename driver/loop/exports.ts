import type { Export, ExportInfo, ExportTable, OpenedExport } from '../../server/export.js';
import { LockOrder } from '../locks/lock-order.js';
import { RequestQueue } from '../queue/request-queue.js';
import type { LoopControl } from './loop-control.js';
import type { LoopDevice } from './loop-device.js';
import type { Logger, LoopStatus } from './types.js';

/** Largest payload of a request, bytes: the protocol's customary limit. */
const MAX_PAYLOAD = 32 * 1024 * 1024;
/** What clients should ask for, bytes: the page, in which the page cache works. */
const PREFERRED_BLOCK = 4096;
/** A number that no device has: what is learned of a file is kept by it. */
const REFUSING_DEVICE = -1;
const NAME = /^loop(0|[1-9]\d*)$/;

/**
 * Loop devices as NBD exports: device N is export `loopN`. The default export, with the empty name, is the lowest
 * bound device, else loop0. An unbound device is an export of size 0.
 */
export class LoopExports implements ExportTable {
  constructor(
    private readonly control: LoopControl,
    private readonly log?: Logger,
  ) {}

  list(): readonly Export[] {
    return this.control.devices().map((device) => this.#export(device));
  }

  find(name: string): Export | undefined {
    const devices = this.control.devices();
    if (name !== '' && !NAME.test(name)) return undefined;
    const number = name === '' ? this.#defaultNumber(devices) : Number(NAME.exec(name)?.[1]);
    const device = devices.find((candidate) => candidate.number === number);
    return device && this.#export(device);
  }

  /** A device that could not be brought back stays the default export, which is then not there. */
  #defaultNumber(devices: readonly LoopDevice[]): number {
    const bound = devices.find((device) => device.state === 'bound')?.number;
    return Math.min(bound ?? Number.POSITIVE_INFINITY, this.control.lowestReserved ?? bound ?? 0);
  }

  #export(device: LoopDevice): Export {
    return {
      name: device.name,
      info: () => exportInfo(device),
      open: () => this.#open(device),
    };
  }

  async #open(device: LoopDevice): Promise<OpenedExport> {
    await device.loOpen();
    let released: Promise<void> | undefined;
    return {
      info: exportInfo(device),
      device: device.number,
      shared: device.queue.shared,
      domain: () => device.domain,
      release: () => {
        released ??= device.loRelease().catch((error: unknown) => {
          this.log?.error({ err: error, device: device.name }, 'A close failed.');
        });
        return released;
      },
    };
  }
}

/** An export under another's name that has no file behind it for good: whatever is asked of it is EIO. */
export function refusing(info: ExportInfo): OpenedExport {
  const queue = new RequestQueue({ order: new LockOrder(), name: info.name, onThaw: () => {} });
  return { info, device: REFUSING_DEVICE, shared: queue.shared, domain: () => '', release: async () => {} };
}

/**
 * The block size; or less where the device ends within a block, whose bytes a client could not reach otherwise. Never
 * less than direct I/O needs.
 */
function minimumBlock({ size, blockSize, directIo, dioAlignment }: LoopStatus): number {
  let minimum = blockSize;
  // A device is a whole number of sectors, the smallest block size there is.
  while (size % minimum !== 0) minimum /= 2;
  return directIo ? Math.max(minimum, dioAlignment) : minimum;
}

function exportInfo(device: LoopDevice): ExportInfo {
  const snapshot = device.snapshot();
  const { name, file, uuid, size, readOnly } = snapshot;
  const minimum = minimumBlock(snapshot);
  return {
    name,
    description: file === null ? `${name}: no backing file` : `${name}: ${file}; uuid=${uuid}`,
    size,
    readOnly,
    blockSizes: { minimum, preferred: Math.max(minimum, PREFERRED_BLOCK), maximum: MAX_PAYLOAD },
    fastZero: device.zeroesFast,
  };
}
