/** Routes that only look: the daemon, the lock order, who is connected, metrics. */

import type { FastifyInstance } from 'fastify';
import type { ControlContext } from './context.js';
import { describeAll } from './device-json.js';
import { createMetrics } from './metrics.js';
import { connectionList, daemonInfo } from './schemas.js';

export function observerRoutes(app: FastifyInstance, context: ControlContext): void {
  app.get(
    '/daemon',
    { schema: { summary: 'The daemon: version, process, listeners', response: { 200: daemonInfo } } },
    async () => context.daemon(),
  );
  app.get(
    '/lockdep',
    { schema: { summary: 'Lock classes, the order they are taken in, and reports' } },
    async () => context.lockdep(),
  );
  app.get(
    '/connections',
    { schema: { summary: 'Who is connected, and to which export', response: { 200: connectionList } } },
    async () => context.connections(),
  );
  metricsRoute(app, context);
}

/** One registry a daemon, whoever scrapes it. */
const registries = new WeakMap<ControlContext['loops'], Promise<() => Promise<string>>>();

export function metricsRoute(app: FastifyInstance, context: ControlContext): void {
  app.get(
    '/metrics',
    { schema: { summary: 'Counters in Prometheus text', produces: ['text/plain'] } },
    async (_request, reply) => {
      let metrics = registries.get(context.loops);
      if (metrics === undefined) {
        metrics = createMetrics({
          devices: () => describeAll(context),
          connections: () => context.daemon().connections,
          lockReports: () => context.lockdep().reports.length,
          freezes: () =>
            context.loops.devices().map(({ name, queue: { freezes } }) => ({
              ...{ name, count: freezes.count, seconds: freezes.seconds, isFrozen: freezes.isFrozen },
            })),
          down: () => context.recovery.list().length,
          daemon: () => context.daemon(),
          remotes: () => context.remotes.list(),
        });
        registries.set(context.loops, metrics);
      }
      const text = await (await metrics)();
      return reply.type('text/plain; version=0.0.4; charset=utf-8').send(text);
    },
  );
}
