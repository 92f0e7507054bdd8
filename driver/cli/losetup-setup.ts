/** What a command line of nbdlosetup says of a new binding. */

import type { ExportWords, FaultRule, LimitsChange } from '../control/messages.js';
import { absolutePath, nameFromBytes, nameToBytes } from '../file-name.js';
import { CliError } from './fail.js';
import { rulesOfFile } from './fault-words.js';
import { LIMITS, type LimitName, limitValue } from './limit-options.js';
import type { Given } from './losetup-given.js';

/** Parameters of a new binding, bytes and flags. */
export interface SetupPlan {
  readonly offset?: bigint;
  readonly sizeLimit?: bigint;
  readonly blockSize?: number;
  readonly readOnly?: true;
  readonly partscan?: true;
  readonly directIo?: boolean;
  readonly exclusive?: true;
  readonly reference?: string;
  readonly exportName?: string;
  readonly description?: string;
  readonly overlay?: { readonly delta: string; readonly force?: true } | { readonly temporary: true };
  readonly limits?: LimitsChange;
  readonly volatileCache?: boolean;
  readonly logWrites?: string;
  readonly faults?: readonly FaultRule[];
}

export function setupOf(given: Given): SetupPlan {
  const offset = given.size('offset', 'offset');
  const sizeLimit = given.size('sizelimit', 'size');
  const blockSize = given.size('sector-size', 'logical block size');
  const reference = given.value('loop-ref');
  return {
    ...(offset === undefined ? {} : { offset }),
    ...(sizeLimit === undefined ? {} : { sizeLimit }),
    ...(blockSize === undefined ? {} : { blockSize: Number(blockSize) }),
    ...(reference === undefined ? {} : { reference: cutReference(reference) }),
    ...wordsOf(given),
    ...(given.has('read-only') ? { readOnly: true } : {}),
    ...(given.has('partscan') ? { partscan: true } : {}),
    ...(given.has('exclusive') ? { exclusive: true } : {}),
    ...overlayOf(given),
    ...limitsOf(given),
    ...faultsOf(given),
    ...(given.has('volatile-cache') ? { volatileCache: onOrOff(given.value('volatile-cache')) } : {}),
    ...logOf(given),
    ...(given.has('direct-io') ? { directIo: onOrOff(given.value('direct-io')) } : {}),
  };
}

/** Undefined where neither is given. */
export function wordsOf(given: Given): ExportWords | undefined {
  const exportName = given.value('name');
  const description = given.value('description');
  if (exportName === undefined && description === undefined) return undefined;
  return {
    ...(exportName === undefined ? {} : { exportName }),
    ...(description === undefined ? {} : { description }),
  };
}

/** Throws EINVAL where both kinds are asked for. */
function overlayOf(given: Given): Pick<SetupPlan, 'overlay'> {
  const delta = given.value('overlay');
  const isTemporary = given.has('temporary');
  if (delta === undefined) return isTemporary ? { overlay: { temporary: true } } : {};
  if (isTemporary) throw new CliError('EINVAL', 'options --overlay and --temporary cannot be combined');
  if (delta === '') throw new CliError('EINVAL', 'the delta of --overlay has no name');
  return { overlay: { delta: absolutePath(delta), ...(given.has('force') ? { force: true } : {}) } };
}

export const LIMIT_NAMES = Object.keys(LIMITS) as LimitName[];

function limitsOf(given: Given): { limits?: LimitsChange } {
  const limits: Record<string, number | null> = {};
  for (const name of LIMIT_NAMES) {
    const text = given.value(`limit-${name}`);
    if (text !== undefined) limits[LIMITS[name]] = limitValue(name, text);
  }
  return Object.keys(limits).length === 0 ? {} : { limits };
}

function logOf(given: Given): { logWrites?: string } {
  const file = given.value('log-writes');
  if (file === '') throw new CliError('EINVAL', 'the log of --log-writes has no name');
  return file === undefined ? {} : { logWrites: absolutePath(file) };
}

function faultsOf(given: Given): { faults?: readonly FaultRule[] } {
  const file = given.value('faults');
  return file === undefined ? {} : { faults: rulesOfFile(file) };
}

/** What fits, as losetup takes it: 63 bytes. */
const cutReference = (name: string): string => nameFromBytes(nameToBytes(name).subarray(0, 63));

function onOrOff(value: string | undefined): boolean {
  if (value === undefined || value === 'on') return true;
  if (value === 'off') return false;
  throw new CliError('EINVAL', `argument error: '${value}'`);
}
