import type { Export, ExportInfo, ExportTable, OpenedExport } from '../../server/export.js';
import { LoopError } from '../errno.js';
import { LockOrder } from '../locks/lock-order.js';
import { RequestQueue } from '../queue/request-queue.js';
import { MAX_DESCRIPTION_BYTES } from './export-names.js';
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

export interface LoopExportsOptions {
  readonly log?: Logger;
  /** Name of the default export, whose name is empty; empty: there is none. Default: that of the lowest bound device, else loop0. */
  readonly defaultExport?: string | undefined;
}

/**
 * Loop devices as NBD exports: device N is export `loopN`, and has the name that it was given. An unbound device is an
 * export of size 0.
 */
export class LoopExports implements ExportTable {
  readonly #log: Logger | undefined;
  readonly #defaultExport: string | undefined;

  constructor(
    private readonly control: LoopControl,
    { log, defaultExport }: LoopExportsOptions = {},
  ) {
    this.#log = log;
    this.#defaultExport = defaultExport;
  }

  list(): readonly Export[] {
    return this.control.devices().map((device) => this.#export(device));
  }

  find(name: string): Export | undefined {
    const device = name === '' ? this.#default() : this.#named(name);
    return device && this.#export(device);
  }

  #named(name: string): LoopDevice | undefined {
    const number = NAME.exec(name)?.[1];
    if (number === undefined) return this.control.exportedAs(name);
    return this.control.devices().find((candidate) => candidate.number === Number(number));
  }

  #default(): LoopDevice | undefined {
    const name = this.#defaultExport;
    if (name !== undefined) return name === '' ? undefined : this.#named(name);
    const devices = this.control.devices();
    const number = this.#defaultNumber(devices);
    return devices.find((candidate) => candidate.number === number);
  }

  /** A device that could not be brought back stays the default export, which is then not there. */
  #defaultNumber(devices: readonly LoopDevice[]): number {
    const bound = devices.find((device) => device.state === 'bound')?.number;
    return Math.min(bound ?? Number.POSITIVE_INFINITY, this.control.lowestReserved ?? bound ?? 0);
  }

  #export(device: LoopDevice): Export {
    return {
      names: namesOf(device),
      info: () => exportInfo(device),
      open: () => this.#open(device),
    };
  }

  async #open(device: LoopDevice): Promise<OpenedExport> {
    if (device.lost !== undefined) throw new LoopError('ENXIO', `The file of ${device.name} is lost.`);
    await device.loOpen();
    let released: Promise<void> | undefined;
    return {
      info: exportInfo(device),
      device: device.number,
      shared: device.queue.shared,
      domain: () => device.domain,
      names: () => namesOf(device),
      release: () => {
        released ??= device.loRelease().catch((error: unknown) => {
          this.#log?.error({ err: error, device: device.name }, 'A close failed.');
        });
        return released;
      },
    };
  }
}

/** An export under another's name that has no file behind it for good: whatever is asked of it is EIO. */
export function refusing(info: ExportInfo): OpenedExport {
  const queue = new RequestQueue({ order: new LockOrder(), name: info.name, onThaw: () => {} });
  return {
    ...{ info, device: REFUSING_DEVICE, shared: queue.shared },
    domain: () => '',
    names: () => [info.name],
    release: async () => {},
  };
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

/** The name of its own comes first: that is the one to keep to, since a number may change. */
function namesOf(device: LoopDevice): readonly [string, ...string[]] {
  const { exportName, name } = device.snapshot();
  return exportName === null ? [name] : [exportName, name];
}

/** The uuid, by which a client knows the export again, is always whole. */
function descriptionOf({ name, file, uuid, description }: LoopStatus): string {
  if (file === null) return `${name}: no backing file`;
  const words = Buffer.from(description ?? `${name}: ${file}`).subarray(0, MAX_DESCRIPTION_BYTES);
  // A stream's decoder leaves out a character that is cut.
  return `${new TextDecoder('utf-8', { ignoreBOM: true }).decode(words, { stream: true })}; uuid=${uuid}`;
}

function exportInfo(device: LoopDevice): ExportInfo {
  const snapshot = device.snapshot();
  const { size, readOnly } = snapshot;
  const minimum = minimumBlock(snapshot);
  return {
    name: namesOf(device)[0],
    description: descriptionOf(snapshot),
    size,
    readOnly,
    blockSizes: { minimum, preferred: Math.max(minimum, PREFERRED_BLOCK), maximum: MAX_PAYLOAD },
    fastZero: device.zeroesFast,
  };
}
