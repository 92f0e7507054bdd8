/**
 * A connection to an export, as the kernel gets it: a descriptor of a socket whose handshake is over. Whether bytes go
 * straight to the server or through TLS is of no concern to whoever holds it: the descriptor is shut down to end it, and
 * hung up when it has ended.
 */

import { Worker } from 'node:worker_threads';
import { LoopError } from '../errno.js';
import { closeDescriptor, duplicate, hangUp, isHungUp } from '../kernel/netlink/calls.js';
import type { CarrierData, FromCarrier } from './carrier-messages.js';
import { asLoopError, connectTo, descriptorOf, Patience } from './connect.js';
import type { ExportFacts } from './facts.js';
import { shakeHands } from './handshake.js';
import type { RemoteTls } from './tls.js';
import type { RemoteAddress } from './uri.js';

export class Link {
  #isOpen = true;

  /** `fd` is the link's from here on. */
  constructor(
    readonly fd: number,
    readonly address: RemoteAddress,
    readonly facts: ExportFacts,
  ) {}

  get hasEnded(): boolean {
    return !this.#isOpen || isHungUp(this.fd);
  }

  /** Ends the connection, also for the kernel. Idempotent. */
  end(): void {
    if (!this.#isOpen) return;
    hangUp(this.fd);
    this.letGo();
  }

  /** Our descriptor alone: what the kernel has goes on. Idempotent. */
  letGo(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    closeDescriptor(this.fd);
  }

  /** Gives the descriptor to the caller. */
  take(): number {
    this.#isOpen = false;
    return this.fd;
  }
}

/** Throws a LoopError that says what is wrong there, without the address. */
export async function openLink(address: RemoteAddress, tls: RemoteTls, signal: AbortSignal): Promise<Link> {
  return address.tls ? openCarried(address, tls, signal) : openPlain(address, signal);
}

async function openPlain(address: RemoteAddress, outer: AbortSignal): Promise<Link> {
  using patience = new Patience(outer);
  const { signal } = patience;
  const socket = await connectTo(address, signal);
  try {
    patience.handshake();
    const facts = await shakeHands(socket, { exportName: address.exportName, signal });
    const fd = duplicate(descriptorOf(socket));
    if (fd < 0) throw new LoopError('EMFILE', 'no descriptor can be had for the connection');
    return new Link(fd, address, facts);
  } finally {
    socket.destroy();
  }
}

function openCarried(address: RemoteAddress, tls: RemoteTls, signal: AbortSignal): Promise<Link> {
  const workerData: CarrierData = { address, tls };
  const worker = new Worker(new URL('./tls-carrier.js', import.meta.url), {
    execArgv: [],
    workerData,
    name: 'tls-carrier',
  });
  return new Promise((resolve, reject) => {
    const settle = (act: () => void): void => {
      signal.removeEventListener('abort', onAbort);
      act();
    };
    const fail = (error: unknown): void => settle(() => reject(asLoopError(error)));
    const onAbort = (): void => {
      fail(signal.reason);
      void worker.terminate();
    };
    signal.addEventListener('abort', onAbort);
    worker.on('error', fail);
    worker.on('exit', () => fail(new LoopError('ECONNRESET', 'the carrier of TLS ended')));
    worker.on('message', (message: FromCarrier) => {
      if (message.kind === 'failed') fail(new LoopError(message.errno, message.message));
      else if (signal.aborted) closeDescriptor(message.fd);
      else settle(() => resolve(new Link(message.fd, address, message.facts)));
    });
    if (signal.aborted) onAbort();
    worker.unref();
  });
}
