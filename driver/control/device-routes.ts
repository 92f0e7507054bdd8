/** Routes that name a device: each checks nothing itself, calls one operation of the driver, answers the new state. */

import type { Socket } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { toExactNumber } from '../exact-number.js';
import type {
  ControlContext,
  ControlledDevice,
  LayerFields,
  LoopConfigFields,
  LoopSettingsFields,
  LoopStatusFields,
} from './context.js';
import { readCounters } from './counters.js';
import { changeBlockSize, changeSettings, clearBacking, resize } from './kernel-side.js';
import { meantFields } from './meant.js';
import type * as messages from './messages.js';
import { refuseOverlap, reusable } from './overlap.js';
import * as schemas from './schemas.js';
import { statusJson } from './status-json.js';
import { Turns } from './turns.js';

interface Params {
  Params: { number: string };
}
interface Force {
  Querystring: { force?: 'true' | 'false' };
}

export function deviceRoutes(app: FastifyInstance, context: ControlContext): void {
  const finds = new Turns();
  registryRoutes(app, context, finds);
  backingRoutes(app, context, finds);
  layerRoutes(app, context);
  settingsRoutes(app, context);
  attachRoutes(app, context);
  recoveryRoutes(app, context);
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

function backingRoutes(app: FastifyInstance, context: ControlContext, finds: Turns): void {
  app.put<Params & { Body: messages.ConfigureRequest }>(
    '/devices/:number/backing',
    changing('loopConfigure: binds a file', schemas.configureRequest),
    async (request) => {
      const device = named(context, request);
      const { noOverlap, ...body } = request.body;
      const config = configOf(body, request.raw.socket);
      if (noOverlap !== true) await device.loopConfigure(config);
      else {
        await finds.take(async () => {
          await refuseOverlap(config, await boundDevices(context));
          await device.loopConfigure(config);
        });
      }
      // The kernel may have kept it.
      if (context.attachments.node(device.number) !== null) {
        await context.attachments.rebound(device.number, await device.describe());
      }
      return describe(context, device);
    },
  );
  app.patch<Params & { Body: messages.ChangeFileRequest }>(
    '/devices/:number/backing',
    changing(
      'loopChangeFd: another file of the same size under a read-only device',
      schemas.changeFileRequest,
    ),
    async (request) => {
      const device = named(context, request);
      const { file, ...meant } = request.body;
      await device.loopChangeFd(file, meantFields(meant, request.raw.socket));
      await context.attachments.contentChanged(device.number);
      return describe(context, device);
    },
  );
  app.delete<Params & Force>(
    '/devices/:number/backing',
    route('loopClrFd: lets go of the file, now or when the last session has gone', {
      params: schemas.deviceParams,
      querystring: schemas.forceQuery,
      response: { 200: schemas.clearAnswer },
    }),
    async (request): Promise<messages.ClearAnswer> => {
      const number = Number(request.params.number);
      const options = { force: request.query.force === 'true' };
      if (!context.recovery.isDown(number)) {
        return { outcome: await clearBacking(context, named(context, request), options) };
      }
      return { outcome: await context.recovery.giveUp(number, options) };
    },
  );
}

function layerRoutes(app: FastifyInstance, context: ControlContext): void {
  app.get<Params>(
    '/devices/:number/layers',
    route("The files that a device's bytes are in, from the top to the base", {
      params: schemas.deviceParams,
      response: { 200: schemas.layerList },
    }),
    async (request) => named(context, request).layers().map(layerAnswer),
  );
}

function layerAnswer({ identity, blockSize, heldBlocks, ...rest }: LayerFields): messages.LayerAnswer {
  const heldBytes = blockSize === null || heldBlocks === null ? null : blockSize * heldBlocks;
  const [inode, device] = [toExactNumber(identity.inode), toExactNumber(identity.device)];
  return { ...rest, inode, device, blockSize, heldBlocks, heldBytes };
}

function settingsRoutes(app: FastifyInstance, context: ControlContext): void {
  app.patch<Params & { Body: messages.SettingsRequest }>(
    '/devices/:number',
    changing(
      'loopSetStatus: offset, size limit, autoclear, partscan; name and description of the export',
      schemas.settingsRequest,
    ),
    async (request) => {
      const device = named(context, request);
      await changeSettings(context, device, settingsOf(request.body));
      return describe(context, device);
    },
  );
  app.put<Params & { Body: messages.DirectIoRequest }>(
    '/devices/:number/direct-io',
    changing('loopSetDio', schemas.directIoRequest),
    async (request) => {
      const device = named(context, request);
      await device.loopSetDio(request.body.on);
      return describe(context, device);
    },
  );
  app.delete<Params>(
    '/devices/:number/dirty',
    route('The metadata context nbdloop:dirty starts anew', {
      params: schemas.deviceParams,
      response: { 200: schemas.deviceStatus },
    }),
    async (request) => {
      const device = named(context, request);
      await device.loopResetDirty();
      return describe(context, device);
    },
  );
  app.put<Params & { Body: messages.BlockSizeRequest }>(
    '/devices/:number/block-size',
    changing('loopSetBlockSize', schemas.blockSizeRequest),
    async (request) => {
      const device = named(context, request);
      await changeBlockSize(context, device, request.body.bytes);
      return describe(context, device);
    },
  );
  app.post<Params & Force>(
    '/devices/:number/capacity',
    route("loopSetCapacity: takes the file's present size, also in an attached kernel", {
      params: schemas.deviceParams,
      querystring: schemas.forceQuery,
      response: { 200: schemas.deviceStatus },
    }),
    async (request) => {
      const device = named(context, request);
      await resize(context, device, { force: request.query.force === 'true' });
      return describe(context, device);
    },
  );
}

function attachRoutes(app: FastifyInstance, context: ControlContext): void {
  app.post<Params & { Body: messages.AttachRequest | null }>(
    '/devices/:number/attach',
    changing('Attaches the device to the kernel as /dev/nbdN', schemas.attachRequest),
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
    changing('Brings back a device that could not be brought back', schemas.recoverRequest),
    async (request) => {
      await context.recovery.recover(Number(request.params.number), request.body ?? {});
      return describe(context, named(context, request));
    },
  );
}

/** Schema of a route; errors have one shape everywhere. */
function route(summary: string, schema: { response?: object } & Record<string, unknown>): { schema: object } {
  return { schema: { summary, ...schema, response: { ...schema.response, default: schemas.errorBody } } };
}

/** Schema of a route that changes a device and answers its new state. */
function changing(summary: string, body: object): { schema: object } {
  return route(summary, { params: schemas.deviceParams, body, response: { 200: schemas.deviceStatus } });
}

const numbered = (number: number): messages.DeviceNumber => ({ number, name: `loop${number}` });

const named = (context: ControlContext, request: { params: { number: string } }): ControlledDevice =>
  context.loops.device(Number(request.params.number));

/** Every device, by number. */
export async function describeAll(context: ControlContext): Promise<messages.DeviceStatus[]> {
  return Promise.all(context.loops.devices().map((device) => describe(context, device)));
}

async function describe(context: ControlContext, device: ControlledDevice): Promise<messages.DeviceStatus> {
  return decorate(context, await device.describe());
}

/** Adds to a device's state what only the daemon knows. */
function decorate(context: ControlContext, status: LoopStatusFields): messages.DeviceStatus {
  return {
    ...statusJson(status),
    node: context.attachments.node(status.number),
    uris: [status.exportName, status.name].flatMap((name) => (name === null ? [] : context.uris(name))),
    counters: readCounters(context.loops.device(status.number).queue.shared),
  };
}

async function boundDevices(context: ControlContext): Promise<LoopStatusFields[]> {
  const all = await Promise.all(context.loops.devices().map((device) => device.describe()));
  return all.filter((status) => status.state === 'bound');
}

function configOf(
  {
    offset,
    sizeLimit,
    identity,
    descriptor,
    exclusive,
    ...rest
  }: Omit<messages.ConfigureRequest, 'noOverlap'>,
  socket: Socket,
): LoopConfigFields {
  const meant = { ...optional({ identity }), ...optional({ descriptor }), ...optional({ exclusive }) };
  return {
    ...rest,
    ...meantFields(meant, socket),
    ...settingsOf({ ...optional({ offset }), ...optional({ sizeLimit }) }),
  };
}

function settingsOf({ offset, sizeLimit, ...flags }: messages.SettingsRequest): LoopSettingsFields {
  return {
    ...flags,
    ...optional({ offset: offset === undefined ? undefined : bytesOf(offset) }),
    ...optional({ sizeLimit: sizeLimit === undefined ? undefined : bytesOf(sizeLimit) }),
  };
}

function bytesOf(bytes: messages.Bytes): number | bigint {
  const exact = Number(bytes);
  return Number.isSafeInteger(exact) ? exact : BigInt(bytes);
}

/** An absent field stays absent: exactOptionalPropertyTypes tells it from undefined. */
function optional<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const entries = Object.entries(fields).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [K in keyof T]?: Exclude<T[K], undefined> };
}
