/** nbdloop without one of its mechanisms: a copy of the compiled tree with one line of one module changed. */
import { cp, readFile, symlink, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { ServerResult } from './results.js';
import { summarize } from './results.js';
import type { Workload } from './workloads.js';

/** A mechanism of `server/pace`, and what switches it off. */
export interface Mechanism {
  readonly name: string;
  /** The workload it is for. */
  readonly workload: string;
  /** Compiled module, from `dist`. */
  readonly module: string;
  readonly from: string;
  readonly to: string;
}

export const MECHANISMS: readonly Mechanism[] = [
  {
    name: 'spin',
    workload: 'read-4k-qd1',
    module: 'server/pace/spin.js',
    from: 'return this.#micros / 1000;',
    to: 'return 0;',
  },
  {
    name: 'head-start',
    workload: 'read-4k-qd1',
    module: 'server/pace/head-start.js',
    from: 'export const AHEAD = Side.USUAL;',
    to: 'export const AHEAD = -1;',
  },
  {
    name: 'gathering',
    workload: 'read-4k-qd16',
    module: 'server/pace/gathering.js',
    from: 'next(requests, now) {',
    to: 'next() { return 0; } unused(requests, now) {',
  },
  {
    name: 'read-way',
    workload: 'read-1m-qd4',
    module: 'server/pace/read-way.js',
    from: 'const mayCopy = this.#requests % SHARED !== 0;',
    to: 'const mayCopy = false;',
  },
  {
    name: 'misses',
    workload: 'cold-read-4k-qd32',
    module: 'server/pace/misses.js',
    from: 'if (this.#left === 0)',
    to: 'if (true)',
  },
];

/** All trees serve one image at a time, and what they read does not change: each locks a byte of its own. */
export const LOCK: Omit<Mechanism, 'workload'> = {
  name: 'the lock of files',
  module: 'driver/io/file-lock.js',
  from: 'const LOCKED_BYTE = 0x6e62646c6f6f70n;',
  to: 'const LOCKED_BYTE = 0x6e62646c6f6f70n',
};
/** Bytes from the lock of one tree to that of the next. */
const APART = 1 << 20;

const DIST = fileURLToPath(new URL('..', import.meta.url));
/** The daemon's program in a tree, as it is before it is bundled. */
export const PROGRAM = 'dist/driver/cli/nbdloopd.js';

/** Throws where the module is no longer what it was: the mechanism would be measured against itself. */
export const without = ({ name, module, from, to }: Omit<Mechanism, 'workload'>, text: string): string => {
  const parts = text.split(from);
  if (parts.length !== 2) throw new Error(`${module} is not as the ablation of ${name} expects it`);
  return parts.join(to);
};

/** Makes the `number`th tree in a directory, which is not there yet; with all of them where no mechanism is named. */
export const makeTree = async (
  directory: string,
  mechanism: Mechanism | undefined,
  number: number,
): Promise<void> => {
  for (const part of ['server', 'driver', 'page']) {
    await cp(`${DIST}${part}`, `${directory}/dist/${part}`, { recursive: true });
  }
  await cp(`${DIST}../package.json`, `${directory}/package.json`);
  await symlink(fileURLToPath(new URL('../../node_modules', import.meta.url)), `${directory}/node_modules`);
  const changes = [{ ...LOCK, to: `${LOCK.to} + ${number * APART}n;` }, ...(mechanism ? [mechanism] : [])];
  for (const change of changes) {
    const path = `${directory}/dist/${change.module}`;
    await writeFile(path, without(change, await readFile(path, 'utf8')));
  }
};

/** What a mechanism gains where it is to: below this it goes. */
export const WORTH = 1.05;

/** What is gained by having it: one line for the report. */
export const gainOf = (
  { name, workload: own }: Mechanism,
  workload: Workload,
  results: readonly ServerResult[],
  cores: number,
): string | undefined => {
  const [whole, less] = ['nbdloop', `without-${name}`].map((server) => {
    const result = results.find((candidate) => candidate.server === server);
    return result && summarize(result, cores);
  });
  if (whole === undefined || less === undefined) return undefined;
  const rate = whole.throughput / less.throughput;
  const cpu = whole.cost === undefined || less.cost === undefined ? undefined : whole.cost / less.cost;
  const isOwn = workload.id === own;
  const verdict = !isOwn
    ? ''
    : rate >= WORTH
      ? ', its own workload: earns its keep'
      : ', its own workload: TOO LITTLE';
  const noisy = whole.wide || less.wide ? ', the rounds differ too much to say' : '';
  return `${name}: ${rate.toFixed(2)} times the rate at ${cpu?.toFixed(2) ?? 'unknown'} of the CPU of going without${verdict}${noisy}`;
};
