/** Routes of what is done to a device on purpose: faults and limits. */
import type { FastifyInstance } from 'fastify';
import type { ControlContext, ControlledDevice } from './context.js';
import { changeLimits } from './kernel-side.js';
import type * as messages from './messages.js';
import * as schemas from './schemas.js';

interface Params {
  Params: { number: string };
}

export function faultRoutes(app: FastifyInstance, context: ControlContext): void {
  const { loops } = context;
  const device = ({ params }: { readonly params: { readonly number: string } }): ControlledDevice =>
    loops.device(Number(params.number));
  const rules = (of: ControlledDevice): messages.FaultsAnswer => ({ rules: of.loopFaults() });

  app.get<Params>('/devices/:number/faults', route('The fault rules of a device'), async (request) =>
    rules(device(request)),
  );
  app.put<Params & { Body: messages.FaultsRequest }>(
    '/devices/:number/faults',
    route('Fault rules in place of all that there are, at once', { body: schemas.faultsRequest }),
    async (request) => {
      await device(request).loopSetFaults(request.body.rules);
      return rules(device(request));
    },
  );
  app.post<Params & { Body: messages.FaultsRequest }>(
    '/devices/:number/faults',
    route('Fault rules beside those that there are', { body: schemas.faultsRequest }),
    async (request) => {
      await device(request).loopAddFaults(request.body.rules);
      return rules(device(request));
    },
  );
  app.delete<Params>('/devices/:number/faults', route('No fault rules any more'), async (request) => {
    await device(request).loopSetFaults([]);
    return rules(device(request));
  });
  app.delete<{ Params: { number: string; rule: string } }>(
    '/devices/:number/faults/:rule',
    route('One fault rule less', { params: schemas.faultParams }),
    async (request) => {
      await device(request).loopRemoveFaults([request.params.rule]);
      return rules(device(request));
    },
  );
  app.post<Params & { Body: messages.ReleaseRequest | null }>(
    '/devices/:number/faults/release',
    route('What is in a hang goes on', { body: schemas.releaseRequest }),
    async (request) => {
      await device(request).loopReleaseFaults(request.body?.rule);
      return rules(device(request));
    },
  );
  app.get<Params>(
    '/devices/:number/limits',
    route('How much a device may be asked for', { response: { 200: schemas.limits } }),
    async (request) => device(request).loopLimits(),
  );
  app.patch<Params & { Body: messages.LimitsChange }>(
    '/devices/:number/limits',
    route('Changes limits; null takes one away', {
      body: schemas.limitsChange,
      response: { 200: schemas.limits },
    }),
    async (request) => {
      await changeLimits(context, device(request), request.body);
      return device(request).loopLimits();
    },
  );
}

/** Schema of a route; errors have one shape everywhere. */
function route(summary: string, schema: Record<string, unknown> = {}): { schema: object } {
  const response = { 200: schemas.faultsAnswer, ...(schema.response ?? {}), default: schemas.errorBody };
  return { schema: { summary, params: schemas.deviceParams, ...schema, response } };
}
