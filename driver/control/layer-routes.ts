/** Routes of the files that a device's bytes are in. */

import type { FastifyInstance } from 'fastify';
import { toExactNumber } from '../exact-number.js';
import type { ControlContext, LayerFields } from './context.js';
import { named } from './device-json.js';
import type * as messages from './messages.js';
import { type Params, route } from './route-schema.js';
import * as schemas from './schemas.js';
import { takeSnapshots } from './snapshots.js';

export function layerRoutes(app: FastifyInstance, context: ControlContext): void {
  app.get<Params>(
    '/devices/:number/layers',
    route("The files that a device's bytes are in, from the top to the base", {
      params: schemas.deviceParams,
      response: { 200: schemas.layerList },
    }),
    async (request) => named(context, request).layers().map(layerAnswer),
  );
}

export function layerAnswer({ identity, blockSize, heldBlocks, ...rest }: LayerFields): messages.LayerAnswer {
  const heldBytes = blockSize === null || heldBlocks === null ? null : blockSize * heldBlocks;
  const [inode, device] = [toExactNumber(identity.inode), toExactNumber(identity.device)];
  return { ...rest, inode, device, blockSize, heldBlocks, heldBytes };
}

export function snapshotRoutes(app: FastifyInstance, context: ControlContext): void {
  app.post<{ Body: messages.SnapshotRequest }>(
    '/snapshots',
    route('Snapshots of one device or several, at one instant', {
      body: schemas.snapshotRequest,
      response: { 200: schemas.snapshotList },
    }),
    async (request) => takeSnapshots(context, request.body),
  );
}
