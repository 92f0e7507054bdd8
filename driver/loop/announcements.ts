/** Tells what happens to devices, in the order of `sequence`. */
import type { EventEmitter } from 'node:events';
import type { LockOrder } from '../locks/lock-order.js';
import type { LoopCore } from './loop-core.js';
import type { FaultHit, Logger, LoopEvent, LoopEvents } from './types.js';

export class Announcements {
  #sequence = 0;

  constructor(
    private readonly events: EventEmitter<LoopEvents>,
    private readonly order: LockOrder,
    private readonly log: Logger | undefined,
  ) {}

  announceHit(core: LoopCore, hit: FaultHit): void {
    const sequence = ++this.#sequence;
    this.order.detached(`listeners ${core.name}`, () =>
      this.events.emit('fault', { ...hit, device: core.number, kind: 'fault', sequence }),
    );
  }

  /** Listeners run detached from the operation: what they begin is not part of it, and it does not fail with them. */
  announce(core: LoopCore, kind: LoopEvent['kind']): void {
    const event: LoopEvent = {
      device: core.number,
      kind,
      sequence: ++this.#sequence,
      status: core.snapshot(),
    };
    try {
      this.order.detached(`listeners ${core.name}`, () => this.events.emit('change', event));
    } catch (error) {
      this.log?.error({ err: error, device: core.name }, 'A listener of device events failed.');
    }
  }
}
