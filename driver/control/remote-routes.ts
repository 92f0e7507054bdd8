/** Routes of devices of other hosts. */

import type { FastifyInstance } from 'fastify';
import type { ControlContext, ControlledRemotes, RemoteFields } from './context.js';
import type * as messages from './messages.js';
import { type Params, route } from './route-schema.js';
import * as schemas from './schemas.js';

export function remoteRoutes(app: FastifyInstance, { remotes }: ControlContext): void {
  app.get(
    '/remotes',
    route('Devices of other hosts, attached by their URIs', { response: { 200: schemas.remoteList } }),
    async () => remotes.list().map(remoteJson),
  );
  app.post<{ Body: messages.RemoteAttachRequest }>(
    '/remotes',
    route('Makes /dev/nbdN of an export anywhere; several addresses of one export are tried in turn', {
      body: schemas.remoteAttachRequest,
      response: { 201: schemas.remoteStatus },
    }),
    async (request, reply) => {
      const { uris, ...options } = request.body;
      return reply.status(201).send(remoteJson(await remotes.attach(uris, options)));
    },
  );
  app.get<Params>(
    '/remotes/:number',
    route('The state of a device of another host', {
      params: schemas.deviceParams,
      response: { 200: schemas.remoteStatus },
    }),
    async (request) => remoteJson(remotes.get(Number(request.params.number))),
  );
  app.delete<Params & { Querystring: { force?: 'true' | 'false' } }>(
    '/remotes/:number',
    route('Takes it out of the kernel; with force also from under its users', {
      params: schemas.deviceParams,
      querystring: schemas.forceQuery,
    }),
    async (request, reply) => {
      await remotes.detach(Number(request.params.number), { force: request.query.force === 'true' });
      return reply.status(204).send();
    },
  );
}

/** As it travels. */
export function remoteJson(remote: RemoteFields): messages.RemoteStatus {
  const { record, state, since, address, problem, losses, awayMs, transitions, isInKernel, isReadOnly } =
    remote;
  const { number, uris, facts, connections, timeout, deadTimeout } = record;
  return {
    number,
    node: isInKernel ? `/dev/nbd${number}` : null,
    uris,
    uri: address.uri,
    state,
    since: new Date(since).toISOString(),
    errno: problem?.errno ?? null,
    message: problem?.message ?? null,
    losses,
    awaySeconds: awayMs / 1000,
    transitions: transitions.map((step) => ({ ...step, at: new Date(step.at).toISOString() })),
    size: facts.size,
    uuid: facts.uuid,
    description: facts.description,
    readOnly: isReadOnly,
    connections,
    timeout,
    deadTimeout,
  };
}

/** Sends each transition as an event; returns how to stop. */
export function watchRemotes(
  remotes: ControlledRemotes,
  send: (event: messages.RemoteEvent) => void,
): () => void {
  const onChange = (number: number, remote: RemoteFields | null): void =>
    send({ device: number, kind: 'remote', remote: remote === null ? null : remoteJson(remote) });
  remotes.events.on('change', onChange);
  return () => remotes.events.off('change', onChange);
}
