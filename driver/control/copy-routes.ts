/** Routes of copies of devices that are in use: they answer when the copy runs, and `GET /devices/N/copy` tells how it goes. */

import type { FastifyInstance } from 'fastify';
import { LoopError } from '../errno.js';
import type { ControlContext, ControlledDevice } from './context.js';
import { named } from './device-json.js';
import type * as messages from './messages.js';
import { type Params, route } from './route-schema.js';
import * as schemas from './schemas.js';

export function copyRoutes(app: FastifyInstance, context: ControlContext): void {
  const copying = (summary: string, body: object, errors: string): { schema: object } =>
    route(summary, {
      description: `Answers when the copy runs. Errors: ${errors}.`,
      params: schemas.deviceParams,
      body,
      response: { 200: schemas.copyStatus },
    });
  app.post<Params & { Body: messages.CopyRequest & { readonly file: string } }>(
    '/devices/:number/move',
    copying(
      'Copies a device that is in use to a new file, which it has then; of an overlay a raw image',
      schemas.moveRequest,
      'ENXIO, EEXIST, EBUSY while it is being copied, ENOENT, EACCES, ENOSPC',
    ),
    async (request) => {
      const device = named(context, request);
      const { file, rate = 0 } = request.body;
      await device.move(file, { rate });
      return statusOf(device);
    },
  );
  app.post<Params & { Body: messages.CopyRequest | null }>(
    '/devices/:number/flatten',
    copying(
      'Makes one raw file of an overlay in use, in place of its delta unless a file is named',
      schemas.flattenRequest,
      'as of move; EINVAL for a plain file',
    ),
    async (request) => {
      const device = named(context, request);
      await device.flatten(request.body?.file, { rate: request.body?.rate ?? 0 });
      return statusOf(device);
    },
  );
  app.post<Params & { Body: messages.CopyRequest | null }>(
    '/devices/:number/commit',
    copying(
      'Writes the delta of an overlay in use into its base, which the device has then',
      schemas.commitRequest,
      'ENXIO; EINVAL for a plain file; EFBIG where the delta below shows less; EBUSY while others have the base; EBADF, EROFS',
    ),
    async (request) => {
      const device = named(context, request);
      await device.commit({ rate: request.body?.rate ?? 0 });
      return statusOf(device);
    },
  );
  app.get<Params>(
    '/devices/:number/copy',
    route('The copy of a device that runs, or ran last; ENOENT where none did', {
      params: schemas.deviceParams,
      response: { 200: schemas.copyStatus },
    }),
    async (request) => statusOf(named(context, request)),
  );
  app.delete<Params>(
    '/devices/:number/copy',
    route(
      'Cancels the copy that runs: the device has its old file, the new one is gone; ENOENT where none does',
      {
        params: schemas.deviceParams,
        response: { 200: schemas.copyStatus },
      },
    ),
    async (request) => {
      const device = named(context, request);
      await device.cancelCopy();
      return statusOf(device);
    },
  );
}

function statusOf(device: ControlledDevice): messages.CopyAnswer {
  const status = device.copyStatus();
  if (status === null) throw new LoopError('ENOENT', `Nothing of ${device.name} was copied.`);
  return status;
}
