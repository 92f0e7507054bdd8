/** Looks after one device of another host: the state machine of `states.ts`, with what each state does. */

import { setTimeout as sleep } from 'node:timers/promises';
import { LoopError } from '../errno.js';
import { Backoff } from './backoff.js';
import { asLoopError } from './connect.js';
import { Course } from './course.js';
import { type Dialled, dial } from './dial.js';
import { KernelSide, type RemoteHost } from './kernel-side.js';
import { Link } from './link.js';
import type { RemoteRecord } from './record.js';
import type { RemoteState, Signal, Transition } from './states.js';
import { parseUri, placeText, type RemoteAddress } from './uri.js';

/** That no LINK_DEAD was missed is looked at so often, milliseconds. */
const LOOK_MS = 5000;
/** The kernel marks what was shut down as dead within this, milliseconds; a part of it is chance. */
const SETTLE_MS = 40;

/** What is told of a device. */
export interface RemoteSnapshot {
  readonly record: RemoteRecord;
  readonly state: RemoteState;
  /** When that state was reached, milliseconds since 1970. */
  readonly since: number;
  /** Where it is, or was looked for last. */
  readonly address: RemoteAddress;
  /** Why it is not attached; null while it is. */
  readonly problem: LoopError | null;
  /** How often connections were lost since the attachment. */
  readonly losses: number;
  /** How long it was not attached, of the time since this daemon has it, milliseconds. */
  readonly awayMs: number;
  /** The last steps, the latest at the end. */
  readonly transitions: readonly Transition[];
  readonly isInKernel: boolean;
  readonly isReadOnly: boolean;
}

export interface RemoteDeviceParts {
  readonly host: RemoteHost;
  readonly onChange: (device: RemoteDevice) => void;
  /** What a daemon that comes after this one must know has changed. Best effort. */
  readonly onRecord: (record: RemoteRecord) => void;
  /** The kernel has let go of it, whoever told it to. */
  readonly onGone: (device: RemoteDevice) => void;
}

export class RemoteDevice {
  readonly kernel: KernelSide;
  readonly #parts: RemoteDeviceParts;
  readonly #addresses: readonly RemoteAddress[];
  readonly #backoff = new Backoff();
  readonly #ending = new AbortController();
  #course = new Course('negotiating');
  #losses = 0;
  /** Of the descriptors that the kernel got, ours; none where a daemon before this one gave them. */
  #links: readonly Link[] = [];
  /** CONNECT is over: what the kernel lacks are sockets only. */
  #isInKernel = false;
  /** `#links` are what the kernel has, all of it. */
  #knowsLinks = true;
  #isDead = false;
  #wake: () => void = () => {};

  constructor(record: RemoteRecord, parts: RemoteDeviceParts) {
    this.kernel = new KernelSide(parts.host, record);
    this.#parts = parts;
    this.#addresses = record.uris.map(parseUri);
  }

  get number(): number {
    return this.kernel.record.number;
  }

  snapshot(): RemoteSnapshot {
    const { record, isReadOnly } = this.kernel;
    const { state, since, problem, awayMs, transitions } = this.#course;
    return {
      record,
      ...{ state, since, problem, awayMs, transitions },
      address: this.#address,
      losses: this.#losses,
      isInKernel: this.#isInKernel && this.kernel.isThere,
      isReadOnly,
    };
  }

  /** The first time: sockets that are negotiated already. Throws what CONNECT throws; the links are ended then. */
  async begin({ links }: Pick<Dialled, 'links'>): Promise<void> {
    this.#links = links;
    try {
      await this.kernel.connect(links);
    } catch (error) {
      for (const link of links) link.end();
      throw error;
    }
    this.#isInKernel = true;
    this.#enter('agreed');
    void this.#supervise();
  }

  /** The daemon before this one has taken it out of the kernel: it is attached again, when the server is there. */
  attachAgain(): void {
    void this.#supervise();
  }

  /**
   * The kernel has it from a daemon before this one, whose descriptors these are. Without them it is not known which
   * sockets live: the kernel is offered new ones, and takes them for dead ones only.
   */
  resume(descriptors: readonly number[]): void {
    const { facts, connections } = this.kernel.record;
    this.#isInKernel = true;
    this.#links = descriptors.map((fd) => new Link(fd, this.#address, facts));
    this.#knowsLinks = descriptors.length === connections;
    this.#course = new Course('attached');
    this.#isDead = !this.#knowsLinks || this.#links.some(({ hasEnded }) => hasEnded);
    this.#parts.onChange(this);
    void this.#supervise();
  }

  /** The kernel tells that a socket is dead. */
  lostLink(): void {
    if (this.kernel.record.connections === 1) this.#knowsLinks = true;
    this.#isDead = true;
    this.#wake();
  }

  /** Stops looking after it. The kernel's sockets go on as long as they can. */
  leave(): void {
    this.#ending.abort(new LoopError('ECANCELED', 'the device is given up'));
    this.#wake();
    for (const link of this.#links) link.letGo();
    this.#links = [];
  }

  /** As `leave`: descriptors for the next daemon. What is carried by threads of this process ends with it. */
  part(): number[] {
    const kept = this.#address.tls ? [] : this.#links.filter(({ hasEnded }) => !hasEnded);
    const descriptors = kept.map((link) => link.take());
    this.leave();
    return descriptors;
  }

  get #address(): RemoteAddress {
    const address = this.#addresses[this.kernel.record.at] ?? this.#addresses[0];
    if (address === undefined) throw new Error('a remote device has no address');
    return address;
  }

  get #isEnding(): boolean {
    return this.#ending.signal.aborted;
  }

  /** Never rejects. */
  async #supervise(): Promise<void> {
    try {
      while (!this.#isEnding) {
        switch (this.#course.state) {
          case 'attached':
            await this.#death();
            break;
          case 'lost':
            await this.#pause(SETTLE_MS * (1 + Math.random()));
            break;
          case 'waiting':
            await this.#pause(this.#backoff.next());
            break;
          case 'negotiating':
            await this.#negotiate();
            break;
          case 'given-up':
            return;
        }
      }
    } catch (err) {
      if (!this.#isEnding) this.#parts.host.log.error({ err, node: this.kernel.node }, 'supervision failed');
    }
  }

  /** Until a socket is dead, or the kernel has let go of the device. */
  async #death(): Promise<void> {
    while (!this.#isDead && !this.#isEnding) {
      if (!this.kernel.isThere) this.#parts.onGone(this);
      else if (this.#links.some(({ hasEnded }) => hasEnded)) break;
      if (!this.#isEnding) await this.#rest();
    }
    if (this.#isEnding) return;
    for (const link of this.#links) link.end();
    this.#links = [];
    this.#losses++;
    this.#course.problem = new LoopError('ENOTCONN', `${placeText(this.#address)}: the connection is lost`);
    this.#enter('died');
  }

  /** Until something is told of it, or it is time to look. */
  #rest(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, LOOK_MS).unref();
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  async #pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.#ending.signal, ref: false });
    this.#enter('due');
  }

  async #negotiate(): Promise<void> {
    if (this.#isInKernel && !this.kernel.isThere) {
      this.#parts.onGone(this);
      if (!this.#isEnding) await this.#rest();
      return;
    }
    const { facts, at, connections, tls } = this.kernel.record;
    let dialled: Dialled;
    try {
      dialled = await dial({
        addresses: this.#addresses,
        first: at,
        connections,
        tls,
        meant: facts,
        signal: this.#ending.signal,
      });
    } catch (error) {
      this.#fail(error);
      return;
    }
    if (this.#isEnding) for (const link of dialled.links) link.end();
    else await this.#give(dialled);
  }

  /** To the kernel. */
  async #give({ links, at, facts }: Dialled): Promise<void> {
    this.#isDead = false;
    const before = this.kernel.record;
    this.kernel.record = { ...before, at, facts, attachAgain: false };
    try {
      if (!this.#isInKernel) await this.kernel.connect(links);
      else if (!(await this.kernel.replace(links))) {
        for (const link of links) link.end();
        await this.#refuse();
        return;
      }
    } catch (error) {
      this.kernel.record = before;
      for (const link of links) link.end();
      this.#fail(error);
      return;
    }
    this.#isInKernel = true;
    // What the kernel did not take ends here, and what it took goes on.
    if (this.#knowsLinks) this.#links = links;
    else for (const link of links) link.letGo();
    this.#backoff.reset();
    this.#course.problem = null;
    this.#parts.onRecord(this.kernel.record);
    if (this.#isEnding) this.leave();
    else this.#enter('agreed');
  }

  #fail(error: unknown): void {
    if (this.#isEnding) return;
    this.#course.problem = asLoopError(error);
    this.#enter('failed');
  }

  async #refuse(): Promise<void> {
    // Let go of as a whole, it is looked at anew by `negotiating`.
    if (!this.kernel.isThere) return;
    // Its last close frees it.
    await this.kernel.endByForce().catch(() => undefined);
    this.#course.problem = new LoopError(
      'EIO',
      'the kernel has given it up: it waited for longer than the dead timeout, or was told to',
    );
    this.#enter('refused');
  }

  #enter(signal: Signal): void {
    const { from, to } = this.#course.step(signal);
    const { log } = this.#parts.host;
    const fields = { node: this.kernel.node, from, to };
    const { problem } = this.#course;
    if (problem === null) log.info(fields, `${this.kernel.node}: attached to ${placeText(this.#address)}`);
    else if (signal !== 'due') log.error(fields, `${this.kernel.node}: ${to}: ${problem.message}`);
    this.#parts.onChange(this);
  }
}
