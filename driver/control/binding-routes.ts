/** Routes that bind a file, let go of it, and change how it is bound. */

import type { FastifyInstance } from 'fastify';
import { limitsAnything } from '../store/limits/limits.js';
import type { ControlContext } from './context.js';
import { configOf, settingsOf } from './device-config.js';
import { boundDevices, changed, describe, named } from './device-json.js';
import { changeBlockSize, changeSettings, clearBacking, resize } from './kernel-side.js';
import { meantFields } from './meant.js';
import type * as messages from './messages.js';
import { refuseOverlap } from './overlap.js';
import { changing, type Force, type Params, route } from './route-schema.js';
import * as schemas from './schemas.js';
import type { Turns } from './turns.js';

export function backingRoutes(app: FastifyInstance, context: ControlContext, finds: Turns): void {
  app.put<Params & { Body: messages.ConfigureRequest }>(
    '/devices/:number/backing',
    changing(
      'loopConfigure: binds a file',
      schemas.configureRequest,
      `ENODEV no such device; EBADF the file cannot be opened; ESTALE it is another one than was meant; EBUSY the device is bound, or another daemon writes the file; EINVAL neither a regular file nor a block device, a block size, a name; EOVERFLOW offset or size limit; EEXIST the name is another export's, or a part of the file is served already (noOverlap); ENOSPC it cannot be written down`,
    ),
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
        await context.attachments.limited(device.number, limitsAnything(device.loopLimits()));
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
      'ENXIO not bound; EINVAL not read-only, or the file makes another size; EBADF; ESTALE',
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

export function settingsRoutes(app: FastifyInstance, context: ControlContext): void {
  app.patch<Params & { Body: messages.SettingsRequest }>(
    '/devices/:number',
    changing(
      'loopSetStatus: offset, size limit, autoclear, partscan; name and description of the export',
      schemas.settingsRequest,
      "ENXIO not bound; EOVERFLOW offset or size limit; EINVAL a name; EEXIST the name is another export's; EBUSY the node is claimed (mounted) and offset or size limit would change, or a partition in use is not of the new table",
    ),
    changed(context, (device, request) => changeSettings(context, device, settingsOf(request.body))),
  );
  app.put<Params & { Body: messages.DirectIoRequest }>(
    '/devices/:number/direct-io',
    changing(
      'loopSetDio: direct I/O on or off, with requests running',
      schemas.directIoRequest,
      'ENXIO not bound; EINVAL the file system refuses it, or offset or block size are not aligned; the errno of fsync',
    ),
    changed(context, (device, request) => device.loopSetDio(request.body.on)),
  );
  app.delete<Params>(
    '/devices/:number/dirty',
    route('The metadata context nbdloop:dirty starts anew', {
      params: schemas.deviceParams,
      response: { 200: schemas.deviceStatus },
    }),
    changed(context, (device) => device.loopResetDirty()),
  );
  app.put<Params & { Body: messages.BlockSizeRequest }>(
    '/devices/:number/block-size',
    changing(
      'loopSetBlockSize: the logical block size',
      schemas.blockSizeRequest,
      'ENXIO not bound; EINVAL no power of two from 512 to 4096; EBUSY the node is claimed (mounted)',
    ),
    changed(context, (device, request) => changeBlockSize(context, device, request.body.bytes)),
  );
  app.post<Params & Force>(
    '/devices/:number/capacity',
    route("loopSetCapacity: takes the file's present size, also in an attached kernel", {
      params: schemas.deviceParams,
      querystring: schemas.forceQuery,
      response: { 200: schemas.deviceStatus },
    }),
    changed(context, (device, request) => resize(context, device, { force: request.query.force === 'true' })),
  );
}
