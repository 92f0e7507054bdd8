/** Every refusal of the control API is `{errno, message}`: this file turns whatever was thrown into one. */

import { errnoName } from '../errno.js';
import type { ErrorBody } from './messages.js';

/** HTTP statuses of errno names; any other is 500. */
const STATUS: Readonly<Record<string, number>> = {
  EINVAL: 400,
  EPERM: 403,
  EACCES: 403,
  ENODEV: 404,
  ENOENT: 404,
  EBUSY: 409,
  EEXIST: 409,
  ENXIO: 409,
  E2BIG: 413,
  EBADF: 422,
  EISDIR: 422,
  EOVERFLOW: 422,
  EOPNOTSUPP: 501,
  ECANCELED: 503,
};

export interface Refusal {
  readonly status: number;
  readonly body: ErrorBody;
  /** True when nothing the caller did explains it: worth a line in the log. */
  readonly unexpected: boolean;
}

/** Our own errors carry an errno name; Node's carry `code`; fastify's carry `statusCode`. */
export function refusalOf(error: unknown): Refusal {
  if (!(error instanceof Error)) return refuse('EIO', String(error), { unexpected: true });
  const own = nameOf(error);
  if (own !== undefined) return refuse(own, error.message);
  const status = 'statusCode' in error && typeof error.statusCode === 'number' ? error.statusCode : 500;
  if (status === 413) return refuse('E2BIG', 'the body of the request is too large');
  if (status >= 400 && status < 500) return { ...refuse('EINVAL', sentence(error)), status };
  return refuse('EIO', `nbdloopd failed: ${error.message}`, { unexpected: true });
}

export function refuse(errno: string, message: string, options: { unexpected?: boolean } = {}): Refusal {
  return {
    status: STATUS[errno] ?? 500,
    body: { errno, message },
    unexpected: options.unexpected ?? false,
  };
}

function nameOf(error: Error): string | undefined {
  if ('errno' in error) {
    if (typeof error.errno === 'string') return error.errno;
    if (typeof error.errno === 'number') return errnoName(Math.abs(error.errno));
  }
  return undefined;
}

/** fastify's validation says "body/offset must be integer": name the field plainly. */
function sentence(error: Error): string {
  return error.message.replace(/^(body|params|querystring|headers)\/?/, (_, where: string) =>
    where === 'body' ? 'in the request, ' : `in the ${where}, `,
  );
}
