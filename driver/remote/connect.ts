/** A stream to an address, over which the handshake goes; and how a peer that says nothing is noticed. */

import { connect, type Socket } from 'node:net';
import { errnoName, LoopError } from '../errno.js';
import { setOption } from '../kernel/netlink/calls.js';
import { placeText, type RemoteAddress } from './uri.js';

/** An address that does not answer is given up after this, milliseconds. */
const CONNECT_MS = 5000;
/** One that does, but does not come to an end with the handshake. */
const HANDSHAKE_MS = 10_000;

const IPPROTO_TCP = 6;
/** tcp(7), seconds but for the last. */
const TcpOption = { KEEPIDLE: 4, KEEPINTVL: 5, KEEPCNT: 6, USER_TIMEOUT: 18 } as const;
/** A peer that is asked nothing is probed after 5 s, and then every 2 s: it is given up 11 s after it fell silent. */
const KEEPALIVE = { IDLE_S: 5, INTERVAL_S: 2, COUNT: 3 } as const;
/**
 * One that acknowledges nothing for so long is given up, milliseconds. So is one that is alive but takes nothing, so it must
 * be longer than a slow disk takes to make room.
 */
const USER_TIMEOUT_MS = 20_000;

/** The time that an attempt may take; `handshake` sets it anew once the address has answered. Dispose of it. */
export class Patience implements Disposable {
  readonly #controller = new AbortController();
  readonly #outer: AbortSignal;
  readonly #onOuter = (): void => this.#controller.abort(this.#outer.reason);
  #timer: NodeJS.Timeout;

  constructor(outer: AbortSignal) {
    this.#outer = outer;
    outer.addEventListener('abort', this.#onOuter);
    if (outer.aborted) this.#onOuter();
    this.#timer = this.#expire(CONNECT_MS, 'nothing answers there');
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  handshake(): void {
    clearTimeout(this.#timer);
    this.#timer = this.#expire(HANDSHAKE_MS, 'the server does not come to an end with the handshake');
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#outer.removeEventListener('abort', this.#onOuter);
  }

  #expire(ms: number, sentence: string): NodeJS.Timeout {
    return setTimeout(() => this.#controller.abort(new LoopError('ETIMEDOUT', sentence)), ms);
  }
}

/** Throws a LoopError with the errno of connect(2), EHOSTUNREACH for a name that nobody knows. */
export function connectTo(address: RemoteAddress, signal: AbortSignal): Promise<Socket> {
  const { place } = address;
  const socket =
    place.kind === 'unix'
      ? connect({ path: place.path })
      : connect({ host: place.host, port: place.port, noDelay: true });
  return new Promise((resolve, reject) => {
    const fail = (error: unknown): void => {
      signal.removeEventListener('abort', onAbort);
      socket.destroy();
      reject(asLoopError(error));
    };
    const onAbort = (): void => fail(signal.reason);
    signal.addEventListener('abort', onAbort);
    socket.on('error', fail);
    socket.once('connect', () => {
      signal.removeEventListener('abort', onAbort);
      if (place.kind === 'tcp') watchPeer(descriptorOf(socket));
      resolve(socket);
    });
    if (signal.aborted) onAbort();
  });
}

/** The descriptor of a socket, which Node's types do not show; -1 once it is closed. */
export const descriptorOf = (socket: Socket): number =>
  (socket as unknown as { readonly _handle: { readonly fd: number } | null })._handle?.fd ?? -1;

/** Best effort: where an option is not known, a silent peer is noticed later. */
function watchPeer(fd: number): void {
  const SOL_SOCKET = 1;
  const SO_KEEPALIVE = 9;
  setOption(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  setOption(fd, IPPROTO_TCP, TcpOption.KEEPIDLE, KEEPALIVE.IDLE_S);
  setOption(fd, IPPROTO_TCP, TcpOption.KEEPINTVL, KEEPALIVE.INTERVAL_S);
  setOption(fd, IPPROTO_TCP, TcpOption.KEEPCNT, KEEPALIVE.COUNT);
  setOption(fd, IPPROTO_TCP, TcpOption.USER_TIMEOUT, USER_TIMEOUT_MS);
}

/** An error of Node's, of TLS or of ours as one of ours. */
export function asLoopError(error: unknown): LoopError {
  if (error instanceof LoopError) return error;
  const message = error instanceof Error ? error.message : String(error);
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (error instanceof Error && 'errors' in error && Array.isArray(error.errors)) {
    return asLoopError(error.errors[0]); // one for each address of a name
  }
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') {
    return new LoopError('EHOSTUNREACH', 'nobody knows this name');
  }
  if (error instanceof Error && 'errno' in error && typeof error.errno === 'number') {
    return new LoopError(
      errnoName(Math.abs(error.errno)),
      message.replace(/^(\w+) (E[A-Z0-9]+)\b.*$/, '$1: $2'),
    );
  }
  return new LoopError('EPROTO', message.split('\n', 1)[0] ?? message);
}

/** The sentence of a failure, with its address. */
export const atAddress = (address: RemoteAddress, error: unknown): LoopError => {
  const { errno, message } = asLoopError(error);
  return new LoopError(errno, `${placeText(address)}: ${message}`);
};
