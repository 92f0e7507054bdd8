/** HTTP/1.1 over the daemon's Unix socket: JSON, text and server-sent events, and what is said where that fails. */

import { type ClientRequest, type IncomingMessage, request } from 'node:http';
import { seeDoctor } from '../see-doctor.js';
import type { ErrorBody } from './messages.js';

/** A refusal by the daemon, or a daemon that cannot be reached: an errno name and one plain sentence. */
export class ControlError extends Error {
  override readonly name = 'ControlError';
  constructor(
    readonly errno: string,
    message: string,
  ) {
    super(message);
  }
}

type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/** An answer longer than this is not ours (a list of 10 000 devices is under 10 MiB). */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;

export class Transport {
  /** `looked`: where else a daemon was looked for, and what was there. */
  constructor(
    readonly socketPath: string,
    readonly looked: readonly string[],
  ) {}

  async json<T>(method: Method, path: string, body?: unknown): Promise<T> {
    return JSON.parse(await this.text(method, path, body)) as T;
  }

  async text(method: Method, path: string, body?: unknown): Promise<string> {
    const response = await this.#send(method, path, body);
    try {
      return await readAll(response);
    } catch (error) {
      throw this.#unreachable(error);
    }
  }

  /** The data of server-sent events from now on, until the daemon ends the stream or `signal` aborts it. */
  async *events<T>(path: string, signal?: AbortSignal): AsyncGenerator<T, void, undefined> {
    const response = await this.#send('GET', path, undefined, signal);
    response.setEncoding('utf8');
    let rest = '';
    try {
      for await (const chunk of response as AsyncIterable<string>) {
        const blocks = (rest + chunk).split('\n\n');
        rest = blocks.pop() ?? '';
        for (const block of blocks) {
          const data = eventData(block);
          if (data !== undefined) yield JSON.parse(data) as T;
        }
      }
    } catch (error) {
      if (signal?.aborted !== true) throw this.#unreachable(error);
    }
  }

  /** Resolves with the answer's head; a refusal rejects with its ControlError. */
  async #send(method: Method, path: string, body?: unknown, signal?: AbortSignal): Promise<IncomingMessage> {
    const payload = body === undefined ? undefined : JSON.stringify(body);
    const outgoing = request({
      socketPath: this.socketPath,
      method,
      path,
      agent: false,
      headers:
        payload === undefined
          ? {}
          : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) },
      ...(signal === undefined ? {} : { signal }),
    });
    let response: IncomingMessage;
    try {
      response = await head(outgoing, payload);
    } catch (error) {
      throw this.#unreachable(error);
    }
    const status = response.statusCode ?? 0;
    if (status >= 200 && status < 300) return response;
    throw refusal(status, await readAll(response).catch(() => ''));
  }

  #unreachable(error: unknown): ControlError {
    const code = errnoOf(error);
    if (code === 'ENOENT' || code === 'ECONNREFUSED') {
      const looked = this.looked.length === 0 ? '' : `; looked at ${this.looked.join(', ')}`;
      return new ControlError(
        code,
        `no nbdloopd is listening on ${this.socketPath}; start it, or name its socket with --control${looked} ${seeDoctor('daemon')}`,
      );
    }
    if (code === 'EACCES')
      return new ControlError(
        code,
        `not allowed to use the control socket ${this.socketPath} ${seeDoctor('daemon')}`,
      );
    const detail = error instanceof Error ? error.message : String(error);
    return new ControlError(code, `talking to nbdloopd at ${this.socketPath} failed: ${detail}`);
  }
}

function head(outgoing: ClientRequest, payload: string | undefined): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    outgoing.once('response', resolve);
    outgoing.once('error', reject);
    outgoing.end(payload);
  });
}

async function readAll(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > MAX_ANSWER_BYTES)
      throw new ControlError('EMSGSIZE', 'the answer is longer than any of nbdloopd');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function refusal(status: number, body: string): ControlError {
  try {
    const { errno, message } = JSON.parse(body) as Partial<ErrorBody>;
    if (typeof errno === 'string' && typeof message === 'string') return new ControlError(errno, message);
  } catch {
    // Not an answer of ours: reported below by its status.
  }
  return new ControlError(
    'EPROTO',
    `the control socket answered with HTTP status ${status}, which is not nbdloopd's way`,
  );
}

/** The data lines of one server-sent event; undefined for a comment. */
function eventData(block: string): string | undefined {
  const lines = block.split('\n').filter((line) => line.startsWith('data:'));
  return lines.length === 0 ? undefined : lines.map((line) => line.slice(5).trimStart()).join('\n');
}

function errnoOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' && /^E[A-Z0-9]+$/.test(code) ? code : 'EIO';
}
