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
  ESTALE: 409,
  ECONNREFUSED: 502,
  ECONNRESET: 502,
  EHOSTUNREACH: 502,
  EPROTO: 502,
  ETIMEDOUT: 504,
  E2BIG: 413,
  EBADF: 422,
  EISDIR: 422,
  EOVERFLOW: 422,
  EOPNOTSUPP: 501,
  ECANCELED: 503,
  ENOSPC: 507,
};

export interface Refusal {
  readonly status: number;
  readonly body: ErrorBody;
  /** True when nothing the caller did explains it: worth a line in the log. */
  readonly unexpected: boolean;
}

/**
 * Our own errors carry an errno name; Node's carry `code`; fastify's carry `statusCode`. `device`: the number that the
 * request names, for those that don't come so far as to find it.
 */
export function refusalOf(error: unknown, device?: string): Refusal {
  if (!(error instanceof Error)) return refuse('EIO', String(error), { unexpected: true });
  const own = nameOf(error);
  if (own !== undefined) return refuse(own, error.message);
  const status = 'statusCode' in error && typeof error.statusCode === 'number' ? error.statusCode : 500;
  if (status === 413) return refuse('E2BIG', 'the body of the request is too large');
  if (status >= 400 && status < 500) {
    return {
      ...refuse('EINVAL', `${device === undefined ? '' : `loop${device}: `}${sentence(error)}`),
      status,
    };
  }
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

/** What ajv tells of a request that does not fit its schema. */
interface Problem {
  readonly keyword: string;
  /** '/offset'; empty for the request as a whole. */
  readonly instancePath: string;
  readonly params: Readonly<Record<string, unknown>>;
  readonly message?: string;
}

/** Where the schema's own words say nothing to a reader: what a field must be. */
const EXPECTED: Readonly<Record<string, string>> = {
  file: 'must be an absolute path',
  number: 'must be the number of a device',
};

/** What fastify finds wrong before it looks at a field, by its codes. */
const UNREADABLE: Readonly<Record<string, string>> = {
  FST_ERR_BAD_URL: 'the path of the request is not a URL',
  FST_ERR_CTP_INVALID_MEDIA_TYPE:
    'the body of the request must be JSON, with the content-type application/json',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'the body of the request is empty',
  FST_ERR_CTP_INVALID_JSON_BODY: 'the body of the request is not JSON',
};

/** Names the field plainly. */
function sentence(error: Error): string {
  const known = 'code' in error ? UNREADABLE[String(error.code)] : undefined;
  if (known !== undefined) return known;
  const problem =
    'validation' in error && Array.isArray(error.validation) ? error.validation.at(-1) : undefined;
  return problem === undefined ? error.message : problemSentence(problem as Problem);
}

function problemSentence({ keyword, instancePath, params, message }: Problem): string {
  const field = instancePath.slice(1);
  if (keyword === 'additionalProperties')
    return `the request has an unknown field "${params.additionalProperty}"`;
  if (keyword === 'required') return `the request lacks the field "${params.missingProperty}"`;
  if (field === '') return 'the body of the request must be a JSON object';
  if (keyword === 'enum')
    return `the field "${field}" must be ${(params.allowedValues as string[]).join(' or ')}`;
  if (keyword === 'oneOf' && field.endsWith('delay'))
    return `the field "${field}" must be a distribution (fixed, uniform, normal, pareto) with its times in milliseconds, 0 or more`;
  if (keyword === 'oneOf') return `the field "${field}" must be a whole number of bytes, 0 or more`;
  return `the field "${field}" ${keyword === 'pattern' ? EXPECTED[field] : message}`;
}
