/** The page's server, without a socket: its files, and below /api the control API for those who have the token. */

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { controlApp } from '../control/app.js';
import type { ControlContext } from '../control/context.js';
import { deviceRoutes } from '../control/device-routes.js';
import { refuse } from '../control/errors.js';
import { layerAnswer } from '../control/layer-routes.js';
import { metricsRoute, observerRoutes } from '../control/observer-routes.js';
import { remoteRoutes } from '../control/remote-routes.js';
import { deviceParams } from '../control/schemas.js';
import { assetRoutes, PAGE_HEADERS } from './assets.js';
import { type HostNames, otherSitesRequest, type Refused, strangersRequest, tokenRefusal } from './guard.js';
import type { Copies, Overlays } from './live-messages.js';
import type { Sampler, Tier } from './sampler.js';
import type { Streams } from './streams.js';

export interface WebParts {
  readonly names: HostNames;
  readonly sampler: Sampler;
  readonly streams: Streams;
  token(): string;
  /** Where the built page is; absent: where the build puts it. */
  readonly assets?: URL;
}

export async function createWebApp(context: ControlContext, parts: WebParts): Promise<FastifyInstance> {
  const { app } = controlApp(context.log);
  app.addHook('onRequest', async (request, reply) => {
    void reply.headers(PAGE_HEADERS);
    return answerIf(reply, strangersRequest(request.headers, parts.names));
  });
  assetRoutes(app, parts.assets);
  await app.register(async (guarded) => {
    // Of this scope, so that no spelling of a path goes around it.
    guarded.addHook('onRequest', async (request, reply) => {
      void reply.header('cache-control', 'no-store');
      return answerIf(reply, otherSitesRequest(request.headers) ?? withoutToken(request, parts));
    });
    metricsRoute(guarded, context);
    await guarded.register(
      async (api) => {
        deviceRoutes(api, context);
        remoteRoutes(api, context);
        observerRoutes(api, context);
        liveRoutes(api, context, parts);
      },
      { prefix: '/api' },
    );
  });
  await app.ready();
  return app;
}

function withoutToken(request: FastifyRequest, parts: WebParts): Refused | undefined {
  return tokenRefusal(request.headers, parts.token());
}

async function answerIf(
  reply: FastifyReply,
  refused: Refused | undefined,
): Promise<FastifyReply | undefined> {
  if (refused === undefined) return undefined;
  if (refused.status === 401) void reply.header('www-authenticate', 'Bearer');
  return reply.status(refused.status).send(refused.body);
}

function liveRoutes(app: FastifyInstance, { loops }: ControlContext, { sampler, streams }: WebParts): void {
  app.get('/events', { exposeHeadRoute: false }, (request, reply) => {
    if (streams.isFull) {
      const { body } = refuse('EBUSY', 'too many pages are open');
      return reply.status(503).send(body);
    }
    const id = request.headers['last-event-id'];
    reply.hijack();
    streams.add(reply.raw, typeof id === 'string' ? id : undefined, PAGE_HEADERS);
    return reply;
  });
  app.get(
    '/overlays',
    async (): Promise<Overlays> =>
      loops.devices().flatMap((device) => {
        const layers = device.layers();
        return layers.length > 1
          ? [{ number: device.number, name: device.name, layers: layers.map(layerAnswer) }]
          : [];
      }),
  );
  app.get(
    '/copies',
    async (): Promise<Copies> =>
      loops.devices().flatMap((device) => {
        const copy = device.copyStatus();
        return copy === null ? [] : [{ number: device.number, copy }];
      }),
  );
  app.get('/history', async () => sampler.sparkLines());
  app.get<{ Params: { number: string }; Querystring: { tier?: Tier; last?: string } }>(
    '/devices/:number/history',
    {
      schema: {
        params: deviceParams,
        querystring: {
          type: 'object',
          properties: {
            tier: { enum: ['fine', 'coarse'] },
            last: { type: 'string', pattern: '^[0-9]{1,4}$' },
          },
        },
      },
    },
    async ({ params, query }) =>
      sampler.history(Number(params.number), query.tier ?? 'fine', Number(query.last ?? '9999')),
  );
}
