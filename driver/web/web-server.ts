/** The page on an address of its own: `nbdloopd --web HOST:PORT`. */

import type { FastifyInstance } from 'fastify';
import type { ControlContext, ControlledPage } from '../control/context.js';
import type { PageAddress } from '../control/messages.js';
import { reachable } from '../control/uris.js';
import { LoopError } from '../errno.js';
import { addressesOf, isLoopback } from '../tcp-addresses.js';
import { HostNames } from './guard.js';
import type { Journal } from './journal.js';
import { Sampler } from './sampler.js';
import { Streams } from './streams.js';
import { PageToken } from './token.js';
import { createWebApp } from './web-app.js';

export interface WebOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /** Other machines may connect, although what they send and get, the token too, can be read on the way. */
  readonly insecure: boolean;
  /** Of the daemon's state: the token is kept there. */
  readonly stateDirectory: string;
  readonly journal: Journal;
  /**
   * What becomes of an address that cannot be had: the start fails; or the daemon goes on, since a kernel's devices depend
   * on it, and it is tried again until it can.
   */
  readonly onFailure: 'reject' | 'retry';
  readonly assets?: URL;
}

/** Milliseconds between two tries for an address that could not be had. */
const RETRY_MS = 2000;

export class WebServer implements ControlledPage {
  #app: FastifyInstance | undefined;
  #port: number;
  #retry: NodeJS.Timeout | undefined;
  #isClosed = false;

  private constructor(
    private readonly options: WebOptions,
    private readonly token: PageToken,
    private readonly sampler: Sampler,
    private readonly streams: Streams,
    private readonly unwatch: () => void,
  ) {
    this.#port = options.port;
  }

  /** EADDRINUSE, EACCES, EADDRNOTAVAIL; EPERM where others could come, and nobody said that they may. */
  static async start(context: Omit<ControlContext, 'page'>, options: WebOptions): Promise<WebServer> {
    const { host, journal } = options;
    const { addresses } = await addressesOf(host);
    if (!options.insecure && !addresses.every(isLoopback)) {
      throw new LoopError(
        'EPERM',
        `the page on ${host} could be reached, and its token read on the way, by other machines; use a loopback address and a tunnel, or --insecure`,
      );
    }
    const token = await PageToken.open(options.stateDirectory);
    const sampler = new Sampler(context);
    const streams = new Streams({
      journal,
      latest: () => sampler.latest,
      daemon: () => context.daemon(),
    });
    const server = new WebServer(options, token, sampler, streams, journal.tellOf(context.remotes));
    const app = await createWebApp(
      { ...context, page: null },
      {
        names: new HostNames(host, addresses),
        ...{ sampler, streams },
        token: () => token.value,
        ...(options.assets !== undefined && { assets: options.assets }),
      },
    );
    server.#app = app;
    sampler.start((sample) => streams.sample(sample));
    await server.#listen(app, host === 'localhost' ? host : (addresses[0] ?? host), context);
    return server;
  }

  address(): PageAddress {
    const origin = `http://${reachable(this.options.host)}:${this.#port}`;
    return { url: `${origin}/#token=${this.token.value}`, origin, token: this.token.value };
  }

  async renewToken(): Promise<void> {
    await this.token.renew();
    this.streams.close();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#retry);
    this.unwatch();
    this.sampler.stop();
    this.streams.close();
    await this.#app?.close();
  }

  async #listen(app: FastifyInstance, host: string, { log }: Pick<ControlContext, 'log'>): Promise<void> {
    try {
      await app.listen({ host, port: this.options.port });
      const [address] = app.addresses();
      if (typeof address === 'object') this.#port = address.port;
    } catch (error) {
      const refused = listenError(error, `${host}:${this.options.port}`);
      if (this.options.onFailure === 'reject' || this.#isClosed) {
        this.sampler.stop();
        throw refused;
      }
      log.error({ err: refused }, `the page is not served yet; it is tried again every ${RETRY_MS / 1000} s`);
      this.#retry = setTimeout(() => void this.#listen(app, host, { log }).catch(() => undefined), RETRY_MS);
      this.#retry.unref();
    }
  }
}

function listenError(error: unknown, where: string): unknown {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code === 'EADDRINUSE') {
    return new LoopError(code, `another program listens on ${where}; choose another address with --web`);
  }
  if (code === 'EACCES') return new LoopError(code, `not allowed to listen on ${where}`);
  if (code === 'EADDRNOTAVAIL') return new LoopError(code, `${where} is no address of this machine`);
  return error;
}
