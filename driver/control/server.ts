/** The control API: HTTP/1.1 and JSON on a Unix socket that only its owner may open. */

import { chmod } from 'node:fs/promises';
import type { FastifyInstance } from 'fastify';
import { controlApp, optionsRoutes } from './app.js';
import type { ControlContext } from './context.js';
import { deviceRoutes } from './device-routes.js';
import { EventStreams } from './event-stream.js';
import { observerRoutes } from './observer-routes.js';
import { pageRoutes } from './page-routes.js';
import { recordControl } from './record.js';
import { remoteRoutes } from './remote-routes.js';

export interface ControlServer {
  readonly app: FastifyInstance;
  /** Ends event streams and idle connections, lets running requests finish, removes the socket. */
  close(): Promise<void>;
}

/** The application without a socket: tests inject requests into it. */
export async function createControlApp(context: ControlContext): Promise<ControlServer> {
  const { app, known } = controlApp(context.log);
  const streams = new EventStreams(context.loops, context.remotes);
  let document: Promise<object> | undefined;
  await app.register(async (routes) => {
    controlRoutes(routes, context, streams);
    routes.get('/openapi.json', { schema: { hide: true } }, () => (document ??= describe(context, streams)));
    optionsRoutes(routes, known);
  });
  await app.ready();
  return {
    app,
    close: async () => {
      streams.close();
      await app.close();
    },
  };
}

function controlRoutes(app: FastifyInstance, context: ControlContext, streams: EventStreams): void {
  deviceRoutes(app, context);
  remoteRoutes(app, context);
  observerRoutes(app, context);
  daemonRoutes(app, context, streams);
  pageRoutes(app, context);
}

/** The API's own description, from a second application with the same routes: few ask, and what makes it loads slowly. */
async function describe(context: ControlContext, streams: EventStreams): Promise<object> {
  const { app } = controlApp(context.log);
  const { default: swagger } = await import('@fastify/swagger');
  const { version } = context.daemon();
  await app.register(swagger, {
    openapi: {
      info: { title: 'nbdloop control API', description: 'Loop devices served over NBD.', version },
    },
  });
  await app.register(async (routes) => controlRoutes(routes, context, streams));
  await app.ready();
  return app.swagger();
}

/**
 * Serves the control API at `path`, which must be free (`claimSocket`). Mode 0600 from the first moment: the
 * socket is made under a umask that allows nobody else.
 */
export async function listenControl(context: ControlContext, path: string): Promise<ControlServer> {
  const server = await createControlApp(context);
  const mask = process.umask(0o177);
  try {
    await server.app.listen({ path });
  } finally {
    process.umask(mask);
  }
  await chmod(path, 0o600);
  const record = recordControl(path);
  return {
    ...server,
    close: async () => {
      record.close();
      await server.close();
    },
  };
}

/** What is for the owner of the socket alone: the page (driver/web) does not have it. */
function daemonRoutes(app: FastifyInstance, context: ControlContext, streams: EventStreams): void {
  app.get(
    '/events',
    {
      // Fastify's would run this one, which never ends.
      exposeHeadRoute: false,
      schema: {
        summary: 'Device changes as they happen (server-sent events)',
        produces: ['text/event-stream'],
      },
    },
    (_request, reply) => {
      reply.hijack();
      streams.add(reply.raw);
    },
  );
  app.head('/events', { schema: { hide: true } }, async (_request, reply) =>
    reply.type('text/event-stream').send(),
  );
  app.post(
    '/handover',
    { schema: { summary: 'Leaves every device to a daemon that takes over, and ends' } },
    async (_request, reply) => {
      reply.raw.once('finish', () => context.handOver());
      return reply.status(204).send();
    },
  );
  app.post(
    '/reload',
    {
      schema: {
        summary: 'Reads certificates, keys, permissions and limits anew; those before stay where it cannot',
      },
    },
    async (_request, reply) => {
      await context.reload();
      return reply.status(204).send();
    },
  );
}
