/** Schemas of routes, as fastify and the OpenAPI document take them. */

import * as schemas from './schemas.js';

export interface Params {
  Params: { number: string };
}
export interface Force {
  Querystring: { force?: 'true' | 'false' };
}

/** Errors have one shape everywhere. */
export function route(
  summary: string,
  schema: { response?: object } & Record<string, unknown>,
): { schema: object } {
  return { schema: { summary, ...schema, response: { ...schema.response, default: schemas.errorBody } } };
}

/** Of a route that changes a device and answers its new state. `errors`: what it is refused with, and when. */
export function changing(summary: string, body: object, errors: string): { schema: object } {
  const description = `Answers the device's new state. Errors: ${errors}.`;
  return route(summary, {
    description,
    params: schemas.deviceParams,
    body,
    response: { 200: schemas.deviceStatus },
  });
}
