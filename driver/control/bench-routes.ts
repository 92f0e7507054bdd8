/** Routes of a volatile cache, power cuts and a log of writes. */
import type { FastifyInstance } from 'fastify';
import type { ControlContext } from './context.js';
import { changed, named } from './device-json.js';
import type * as messages from './messages.js';
import { changing, type Params, route } from './route-schema.js';
import * as schemas from './schemas.js';

export function benchRoutes(app: FastifyInstance, context: ControlContext): void {
  app.put<Params & { Body: { on: boolean } }>(
    '/devices/:number/volatile-cache',
    changing(
      'A volatile write cache, as disks have one, or none',
      schemas.volatileRequest,
      'ENXIO not bound, EPERM read-only, EFBIG beyond 8 TiB',
    ),
    changed(context, (device, request) => device.loopSetVolatile(request.body.on)),
  );
  app.post<Params & { Body: messages.PowerCutRequest | null }>(
    '/devices/:number/power-cut',
    route('The power goes: every session ends, and what was not made durable is gone', {
      params: schemas.deviceParams,
      body: schemas.powerCutRequest,
      response: { 200: schemas.powerCutAnswer },
    }),
    async (request) => {
      const device = named(context, request);
      return device.loopPowerCut(request.body ?? {}, () => sever(context, device.number));
    },
  );
  app.put<Params & { Body: { file: string } }>(
    '/devices/:number/write-log',
    changing(
      'Logs every write from now on',
      schemas.logRequest,
      'ENXIO not bound, and what opening the file answers',
    ),
    changed(context, (device, request) => device.loopSetLog(request.body.file)),
  );
  app.delete<Params>(
    '/devices/:number/write-log',
    route('Ends the log of writes', {
      params: schemas.deviceParams,
      response: { 200: schemas.deviceStatus },
    }),
    changed(context, (device) => device.loopSetLog(null)),
  );
  app.post<Params & { Body: { name: string } }>(
    '/devices/:number/marks',
    route('Notes a name in the log of writes', { params: schemas.deviceParams, body: schemas.markRequest }),
    async (request, reply) => {
      await named(context, request).loopMark(request.body.name);
      return reply.status(204).send();
    },
  );
}

/** The kernel sees a disk that is gone; it is not waited for that its session ends, which waits for the thaw. */
async function sever(context: ControlContext, number: number): Promise<boolean> {
  const { attachments } = context;
  const ended = context.endSessions(number, 'the power was cut');
  if (attachments.node(number) !== null) await attachments.detach(number, { force: true });
  await ended;
  // The kernel may have had its socket replaced meanwhile.
  return context.endSessions(number, 'the power was cut');
}
