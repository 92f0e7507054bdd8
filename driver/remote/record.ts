/** What outlives the daemon of a device of another host. */

import type { ExportFacts } from './facts.js';
import type { RemoteTls } from './tls.js';

/** How a device is wanted. */
export interface RemoteWish {
  /** Addresses of one and the same export, tried in turn. */
  readonly uris: readonly string[];
  /** Sockets of the kernel's, all to one address. */
  readonly connections: number;
  /** Seconds after which the kernel gives up a request and its socket; 0: never. */
  readonly timeout: number;
  /** Seconds that requests wait for a new connection when all are dead. */
  readonly deadTimeout: number;
  readonly readOnly: boolean;
  readonly tls: RemoteTls;
}

export interface RemoteRecord extends RemoteWish {
  /** N of /dev/nbdN. */
  readonly number: number;
  /** Of the attachment, in the kernel's backend identifier. */
  readonly id: string;
  /** What the export proved to be. */
  readonly facts: ExportFacts;
  /** Which of `uris` the kernel's sockets were last connected to. */
  readonly at: number;
  /** The daemon took it out of the kernel when it ended: the next one attaches it again. */
  readonly attachAgain: boolean;
}

const NUMBERS = ['number', 'connections', 'timeout', 'deadTimeout', 'at'] as const;
const FACTS = ['size', 'flags', 'minimumBlock', 'maximumBlock'] as const;
const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null;
const isTextOrNull = (value: unknown): boolean => value === null || typeof value === 'string';

/** Undefined for what is no such record. */
export function remoteFromJson(json: unknown): RemoteRecord | undefined {
  if (!isObject(json)) return undefined;
  const { facts, tls, uris } = json;
  const isWhole =
    typeof json.id === 'string' &&
    NUMBERS.every((key) => Number.isSafeInteger(json[key])) &&
    typeof json.readOnly === 'boolean' &&
    typeof json.attachAgain === 'boolean' &&
    Array.isArray(uris) &&
    uris.length > 0 &&
    uris.every((uri) => typeof uri === 'string') &&
    isObject(tls) &&
    Object.values(tls).every((value) => typeof value === 'string') &&
    isObject(facts) &&
    FACTS.every((key) => Number.isSafeInteger(facts[key])) &&
    isTextOrNull(facts.uuid) &&
    isTextOrNull(facts.description);
  return isWhole ? (json as unknown as RemoteRecord) : undefined;
}

/** In the kernel's backend identifier: how a daemon knows its devices again. */
export const remoteBackend = (
  daemonId: string,
  { number, id }: Pick<RemoteRecord, 'number' | 'id'>,
): string => `nbdloop:${daemonId}:remote${number}:${id}`;
