/** The kernel's nbd driver as the daemon sees it: commands that resolve when the kernel has answered, and its news. */

import { EventEmitter } from 'node:events';
import { Worker } from 'node:worker_threads';
import { type ErrnoName, errnoName } from '../../errno.js';
import { closeDescriptor, wake, wakeDescriptor } from './calls.js';
import { decodeStatus, encodeIndex, encodeSettings, NbdCommand, type NbdSettings } from './nbd.js';
import type { FromKernelThread, KernelThreadData, ToKernelThread } from './thread-messages.js';

/** The kernel refused a command. */
export class KernelRefusal extends Error {
  override readonly name = 'KernelRefusal';
  constructor(readonly errno: ErrnoName) {
    super(`the kernel's nbd driver answered ${errno}`);
  }
}

export interface KernelLinkEvents {
  /** A socket of this device is dead. */
  linkDead: [index: number];
  /** The mount table changed. */
  mounts: [];
}

interface Thread {
  readonly worker: Worker;
  readonly wakeFd: number;
}

type Waiting = (answer: Extract<FromKernelThread, { kind: 'answer' }>) => void;

export class KernelLink {
  readonly events = new EventEmitter<KernelLinkEvents>();
  readonly #waiting = new Map<number, Waiting>();
  /** Made when first needed: most daemons attach nothing. */
  #thread: Thread | undefined;
  #lastId = 0;

  /** Starts the thread ahead of its first use, which then need not wait for it. Idempotent. */
  start(): void {
    this.#started();
  }

  /** The kernel takes the sockets, and the device starts. EBUSY, EINVAL, EPERM. */
  async connect(settings: NbdSettings): Promise<void> {
    await this.#ask(NbdCommand.CONNECT, encodeSettings(settings));
  }

  /** Disconnects at once, whoever uses the device. EINVAL when it is not connected. */
  async disconnect(index: number): Promise<void> {
    await this.#ask(NbdCommand.DISCONNECT, encodeIndex(index));
  }

  /** EINVAL when it is not connected, or not with this backend. */
  async reconfigure(settings: NbdSettings): Promise<void> {
    await this.#ask(NbdCommand.RECONFIGURE, encodeSettings(settings));
  }

  /** Whether the driver can be talked to: ENOENT where no such family is to be seen. */
  async status(index: number): Promise<{ index: number; connected: boolean }[]> {
    return (await this.#ask(NbdCommand.STATUS, encodeIndex(index))).flatMap(decodeStatus);
  }

  /** Ends the thread. Idempotent. */
  async close(): Promise<void> {
    const thread = this.#thread;
    if (thread === undefined) return;
    this.#thread = undefined;
    const exited = new Promise((resolve) => thread.worker.once('exit', resolve));
    tell(thread, { kind: 'stop' });
    await exited;
    closeDescriptor(thread.wakeFd);
  }

  #ask(command: NbdCommand, attributes: Buffer): Promise<Buffer[]> {
    const thread = this.#started();
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, ({ errno, replies }) => {
        if (errno === 0) resolve(replies.map((reply) => Buffer.from(reply)));
        else reject(new KernelRefusal(errnoName(errno)));
      });
      tell(thread, { kind: 'ask', ask: { id, command, attributes } });
    });
  }

  #started(): Thread {
    if (this.#thread !== undefined) return this.#thread;
    const wakeFd = wakeDescriptor();
    const workerData: KernelThreadData = { wakeFd };
    const worker = new Worker(new URL('./kernel-thread.js', import.meta.url), {
      workerData,
      name: 'kernel',
      execArgv: [],
    });
    worker.on('message', (message: FromKernelThread) => this.#hear(message));
    this.#thread = { worker, wakeFd };
    return this.#thread;
  }

  #hear(message: FromKernelThread): void {
    if (message.kind === 'link-dead') this.events.emit('linkDead', message.index);
    else if (message.kind === 'mounts') this.events.emit('mounts');
    else {
      this.#waiting.get(message.id)?.(message);
      this.#waiting.delete(message.id);
    }
  }
}

function tell({ worker, wakeFd }: Thread, message: ToKernelThread): void {
  worker.postMessage(message);
  wake(wakeFd);
}
