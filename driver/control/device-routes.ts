/** Routes that name a device: each checks nothing itself, calls one operation of the driver, answers the new state. */

import type { FastifyInstance } from 'fastify';
import { benchRoutes } from './bench-routes.js';
import { backingRoutes, settingsRoutes } from './binding-routes.js';
import type { ControlContext } from './context.js';
import { copyRoutes } from './copy-routes.js';
import { configOf } from './device-config.js';
import { boundDevices, decorate, describe, describeAll, named, numbered } from './device-json.js';
import { faultRoutes } from './fault-routes.js';
import { layerRoutes, snapshotRoutes } from './layer-routes.js';
import type * as messages from './messages.js';
import { reusable } from './overlap.js';
import { changing, type Force, type Params, route } from './route-schema.js';
import * as schemas from './schemas.js';
import { Turns } from './turns.js';

export function deviceRoutes(app: FastifyInstance, context: ControlContext): void {
  const finds = new Turns();
  registryRoutes(app, context, finds);
  backingRoutes(app, context, finds);
  layerRoutes(app, context);
  snapshotRoutes(app, context);
  copyRoutes(app, context);
  settingsRoutes(app, context);
  attachRoutes(app, context);
  probeRoute(app, context);
  recoveryRoutes(app, context);
  faultRoutes(app, context);
  benchRoutes(app, context);
}

/** `finds`: those that look at all devices before they bind take turns. */
function registryRoutes(app: FastifyInstance, context: ControlContext, finds: Turns): void {
  const { loops } = context;

  app.get(
    '/devices',
    route('All devices, in any state', { response: { 200: schemas.deviceList } }),
    async () => describeAll(context),
  );
  app.get(
    '/devices/free',
    route('ctlGetFree: the lowest unbound device, or a new one', { response: { 200: schemas.deviceNumber } }),
    async () => numbered(await loops.ctlGetFree()),
  );
  app.post<{ Body: messages.AddRequest | null }>(
    '/devices',
    route('ctlAdd: a new unbound device', {
      body: schemas.addRequest,
      response: { 201: schemas.deviceNumber },
    }),
    async (request, reply) => {
      const added = await loops.ctlAdd(request.body?.number);
      return reply.status(201).send(numbered(added));
    },
  );
  app.post<{ Body: messages.FindRequest }>(
    '/devices/find',
    route('Finds an unbound device and binds a file to it, in one step', {
      body: schemas.findRequest,
      response: { 200: schemas.deviceStatus },
    }),
    async (request) => {
      const { noOverlap, ...body } = request.body;
      const config = configOf(body, request.raw.socket);
      if (noOverlap !== true) return decorate(context, await loops.findAndConfigure(config));
      return finds.take(async () => {
        const bound = await boundDevices(context);
        return decorate(context, (await reusable(config, bound)) ?? (await loops.findAndConfigure(config)));
      });
    },
  );
  app.get<Params>(
    '/devices/:number',
    route('The state of a device', {
      params: schemas.deviceParams,
      response: { 200: schemas.deviceStatus },
    }),
    async (request) => describe(context, named(context, request)),
  );
  app.get<Params>(
    '/devices/:number/freezes',
    route('The latest freezes: who wanted each, how long it took, how many requests waited', {
      params: schemas.deviceParams,
      response: { 200: schemas.freezeList },
    }),
    async (request) => named(context, request).queue.freezes.list(),
  );
  app.delete<Params>(
    '/devices/:number',
    route('ctlRemove', { params: schemas.deviceParams }),
    async (request, reply) => {
      await loops.ctlRemove(Number(request.params.number));
      return reply.status(204).send();
    },
  );
}

/** For whoever watches over a device (packaging/cluster). */
function probeRoute(app: FastifyInstance, context: ControlContext): void {
  app.post<Params>(
    '/devices/:number/probe',
    route('Reads a block through the export, and asks for the lock of its file', {
      params: schemas.deviceParams,
    }),
    async (request, reply) => {
      await context.probe(named(context, request).number);
      return reply.status(204).send();
    },
  );
}

function attachRoutes(app: FastifyInstance, context: ControlContext): void {
  app.post<Params & { Body: messages.AttachRequest | null }>(
    '/devices/:number/attach',
    changing(
      'Attaches the device to the kernel as /dev/nbdN',
      schemas.attachRequest,
      'ENXIO not bound; EBUSY attached already, or another NBD client has the node; EPERM, ENODEV, ENOENT it cannot work here; EOPNOTSUPP by no such way',
    ),
    async (request) => {
      const device = named(context, request);
      await device.loopGetStatus();
      await context.attachments.attach(device.number, request.body ?? {});
      return describe(context, device);
    },
  );
  app.delete<Params & Force>(
    '/devices/:number/attach',
    route('Takes the device out of the kernel; with force also from under its users', {
      params: schemas.deviceParams,
      querystring: schemas.forceQuery,
      response: { 200: schemas.deviceStatus },
    }),
    async (request, reply) => {
      const number = Number(request.params.number);
      const options = { force: request.query.force === 'true' };
      if (context.recovery.isDown(number)) {
        // It stays down, and has no state to tell of.
        await context.attachments.detach(number, options);
        return reply.status(204).send();
      }
      const device = named(context, request);
      await context.attachments.detach(device.number, options);
      // Whoever attaches it next finds it clean.
      if (device.loopFaults().length > 0) await device.loopSetFaults([]);
      return describe(context, device);
    },
  );
}

function recoveryRoutes(app: FastifyInstance, context: ControlContext): void {
  app.get(
    '/devices/unrecovered',
    route('Devices of an earlier daemon that could not be brought back, and why', {
      response: { 200: schemas.unrecoveredList },
    }),
    async () => context.recovery.list(),
  );
  app.post<Params & { Body: messages.RecoverRequest | null }>(
    '/devices/:number/recover',
    changing(
      'Brings back a device that could not be brought back',
      schemas.recoverRequest,
      'ENODEV; EBUSY the device is not down; EBADF; ESTALE another file than was meant; EINVAL it makes another size',
    ),
    async (request) => {
      await context.recovery.recover(Number(request.params.number), request.body ?? {});
      return describe(context, named(context, request));
    },
  );
}
