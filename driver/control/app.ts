/** The HTTP application of the control API, on whatever socket: how requests are read, and how refusals are answered. */

import type { Socket } from 'node:net';
import fastify, { errorCodes, type FastifyInstance, type FastifyRequest } from 'fastify';
import type { ControlLog } from './context.js';
import { refusalOf, refuse } from './errors.js';
import { compilersFactory, loadValidators } from './late-validators.js';
import { nearestRoutes, type Route } from './nearest-route.js';

/** Bodies of this API are a few hundred bytes. */
const MAX_BODY_BYTES = 64 * 1024;
/** A request's head and body arrive within this time, milliseconds. */
const REQUEST_TIMEOUT_MS = 10_000;

export interface ControlApp {
  readonly app: FastifyInstance;
  /** The routes that were added so far. */
  readonly known: readonly Route[];
}

/** Without routes. */
export function controlApp(log: ControlLog): ControlApp {
  const app = fastify({
    bodyLimit: MAX_BODY_BYTES,
    requestTimeout: REQUEST_TIMEOUT_MS,
    forceCloseConnections: 'idle',
    routerOptions: { ignoreTrailingSlash: true },
    // Say what is wrong with a request; never repair it.
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false, useDefaults: false } },
    schemaController: { compilersFactory },
    clientErrorHandler: answerGarbage,
    frameworkErrors: (error, _request, { raw }) => {
      const { status, body } = refusalOf(error);
      raw.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    },
  });
  const known = rememberRoutes(app);
  loadValidators(app);
  exactSizes(app);
  errorAnswers(app, log, known);
  return { app, known };
}

/** A number over 2^53 where that may be meant, which JSON.parse would round. A string never holds a bare quote. */
const LARGE_NUMBER =
  /(?<!\\)("(?:offset|sizeLimit|device|inode|birthTime|blockDevice)"\s*:\s*)(\d{16,40})(?=\s*[,}])/g;

/**
 * Takes numbers of 64 bits as they are, and no bytes as no body where none is needed: scripts that use curl send its header
 * with everything.
 */
function exactSizes(app: FastifyInstance): void {
  const parse = app.getDefaultJsonParser('error', 'error');
  app.addContentTypeParser<string>('application/json', { parseAs: 'string' }, (request, body, done) => {
    if (body === '' && !needsBody(request)) done(null, undefined);
    else void parse(request, body.replace(LARGE_NUMBER, '$1"$2"'), done);
  });
  // curl's own type of a body, also of none: -d ''.
  app.addContentTypeParser<string>(
    'application/x-www-form-urlencoded',
    { parseAs: 'string' },
    (request, body, done) => {
      if (body === '' && !needsBody(request)) done(null, undefined);
      else done(new errorCodes.FST_ERR_CTP_INVALID_MEDIA_TYPE());
    },
  );
}

function needsBody({ routeOptions }: FastifyRequest): boolean {
  const { body } = (routeOptions.schema ?? {}) as { readonly body?: { readonly nullable?: boolean } };
  return body !== undefined && body.nullable !== true;
}

/** Collects the routes that are added from now on; HEAD, which each GET has, goes without saying. */
function rememberRoutes(app: FastifyInstance): Route[] {
  const known: Route[] = [];
  app.addHook('onRoute', ({ method, url }) => {
    for (const name of [method].flat()) if (name !== 'HEAD') known.push({ method: name, url });
  });
  return known;
}

/** OPTIONS of every path tells what can be done with it. */
export function optionsRoutes(app: FastifyInstance, known: readonly Route[]): void {
  for (const url of new Set(known.map((route) => route.url))) {
    const methods = known.filter((route) => route.url === url).map(({ method }) => method);
    const allow = [...methods, ...(methods.includes('GET') ? ['HEAD'] : []), 'OPTIONS'].join(', ');
    app.options(url, { schema: { hide: true } }, async (_request, reply) =>
      reply.status(204).header('allow', allow).send(),
    );
  }
}

/** The device that a request names in its path. */
function deviceIn(params: unknown): string | undefined {
  const { number } = (params ?? {}) as { readonly number?: string };
  return number !== undefined && /^\d+$/.test(number) ? number : undefined;
}

/** Every error has the one shape, whoever found it: a route, the validation, the router, the body parser. */
function errorAnswers(app: FastifyInstance, log: ControlLog, known: readonly Route[]): void {
  app.setErrorHandler(async (error, request, reply) => {
    const refusal = refusalOf(error, deviceIn(request.params));
    if (refusal.unexpected) log.error({ error, url: request.url }, 'a control request failed');
    return reply.status(refusal.status).send(refusal.body);
  });
  app.setNotFoundHandler(async (request, reply) => {
    const { near, allow } = nearestRoutes(request, known);
    const there = near === undefined ? '' : `; the nearest is ${near}`;
    const sentence = `the control API has no ${request.method} ${request.url}${there}`;
    const { status, body } = refuse(allow.length === 0 ? 'ENOENT' : 'EOPNOTSUPP', sentence);
    if (allow.length === 0) return reply.status(status).send(body);
    return reply.status(405).header('allow', allow.join(', ')).send(body);
  });
}

const NOT_HTTP = ['400 Bad Request', 'EPROTO', 'this is not an HTTP request'] as const;
const GARBAGE: Readonly<Record<string, readonly [status: string, errno: string, message: string]>> = {
  ERR_HTTP_REQUEST_TIMEOUT: ['408 Request Timeout', 'ETIMEDOUT', 'the request did not arrive in time'],
  HPE_HEADER_OVERFLOW: [
    '431 Request Header Fields Too Large',
    'E2BIG',
    'the head of the request is too large',
  ],
};

/** Bytes that are not HTTP, or a request that does not arrive in time. */
function answerGarbage(this: FastifyInstance, error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const [status, errno, message] = GARBAGE[error.code ?? ''] ?? NOT_HTTP;
  const body = JSON.stringify({ errno, message });
  const head = `content-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close`;
  socket.end(`HTTP/1.1 ${status}\r\n${head}\r\n\r\n${body}`);
}
