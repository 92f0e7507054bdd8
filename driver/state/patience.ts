/** Devices that the kernel has and that take long to be brought back. */

import type { PartedSocket } from '../kernel/attach.js';
import type { Attachments } from '../kernel/attachments.js';
import { UNKNOWN_ATTACHMENT } from './down.js';
import type { DeviceRecord } from './state.js';
import type { KeeperLog } from './state-keeper.js';

export interface PatienceParts {
  readonly attachments: Attachments;
  readonly log: KeeperLog;
}

/** The kernel has sockets for them: their users wait, and see no error when the time for a daemon to come back is over. */
export class Patience {
  readonly #waiting = new Map<number, () => void>();

  constructor(private readonly parts: PatienceParts) {}

  /** What comes over the sockets, those that were handed over and new ones, waits until `end`. Never rejects. */
  async expect(record: DeviceRecord, sockets: readonly PartedSocket[]): Promise<void> {
    const { attachments, log } = this.parts;
    const { number, id: uuid, size, blockSize, autoclear, partscan } = record;
    const after = new Promise<void>((resolve) => this.#waiting.set(number, resolve));
    try {
      await attachments.resume(number, record.attach ?? UNKNOWN_ATTACHMENT, sockets, {
        // Whatever timeout it has: what waits for its file is no sign of a socket that is dead.
        described: { uuid, size, blockSize, autoclear, partscan, isLimited: true },
        after,
      });
    } catch (err) {
      log.error({ err, device: `loop${number}` }, 'the kernel has no socket for a device that is late');
    }
  }

  /** It is back, or given up. False where the kernel was not told to wait for it. */
  end(number: number): boolean {
    const release = this.#waiting.get(number);
    this.#waiting.delete(number);
    release?.();
    return release !== undefined;
  }
}
