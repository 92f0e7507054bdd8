/**
 * A client of an export that trusts its number: it was told once whose file is there, and writes on, over every loss of the
 * connection, without looking again. So whatever another file gets of it is the daemon's fault.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { NbdSession } from '../../helpers/nbd-session.js';
import { Random } from '../../helpers/random.js';
import { SECTOR, SECTORS, stamp } from './images.js';

export class TrustingClient {
  /** By sector: what was answered with success. */
  readonly answered = new Map<number, number>();
  writes = 0;
  #isStopped = false;
  readonly #running: Promise<void>;
  readonly #random: Random;

  constructor(
    readonly socket: string,
    readonly exportName: string,
    readonly token: number,
  ) {
    this.#random = new Random(token);
    this.#running = this.#run();
  }

  /** Resolves when its connection has ended. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#running;
  }

  async #run(): Promise<void> {
    while (!this.#isStopped) {
      await this.#session().catch(() => undefined);
      await sleep(5);
    }
  }

  async #session(): Promise<void> {
    const session = await NbdSession.open(this.socket, this.exportName);
    try {
      while (!this.#isStopped) {
        const sector = this.#random.below(SECTORS);
        const sequence = ++this.writes;
        const error = await session.write(sector * SECTOR, stamp(this.token, sector, sequence));
        if (error !== 0) return;
        this.answered.set(sector, sequence);
        await sleep(1);
      }
    } finally {
      session.leave('destroy');
    }
  }
}
