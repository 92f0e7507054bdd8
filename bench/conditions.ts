/** What a number depends on, and is printed beside. */
import { cpus, release, totalmem } from 'node:os';
import type { Installed } from './servers/index.js';
import { run, versionLine } from './system/process.js';

export interface Conditions {
  /** ISO 8601, UTC. */
  readonly date: string;
  readonly cpu: string;
  readonly cores: number;
  /** Bytes. */
  readonly memory: number;
  readonly kernel: string;
  readonly node: string;
  /** Undefined where they are not installed. */
  readonly fio: string | undefined;
  readonly nbdcopy: string | undefined;
  /** nbdloop's commit, with `-dirty` where the tree differs. */
  readonly commit: string;
  /** Name and version line of each server. */
  readonly servers: readonly { readonly name: string; readonly version: string }[];
  /** File system type of each medium. */
  readonly memoryFileSystem: string;
  readonly diskFileSystem: string;
  /** Bytes. */
  readonly memorySize: number;
  readonly diskSize: number;
  readonly rounds: number;
  /** Seconds a run. */
  readonly runtime: number;
  /** Load average of the minute before: others' work on the machine shows in every figure. */
  readonly loadBefore: number;
}

export type Chosen = Pick<Conditions, 'memorySize' | 'diskSize' | 'rounds' | 'runtime' | 'loadBefore'> & {
  readonly memoryDirectory: string;
  readonly diskDirectory: string;
  readonly servers: readonly Installed[];
};

export const lookAround = async (chosen: Chosen): Promise<Conditions> => {
  const { memoryDirectory, diskDirectory, servers, ...rest } = chosen;
  return {
    date: new Date().toISOString(),
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memory: totalmem(),
    kernel: release(),
    node: process.version,
    fio: await versionLine('fio', ['--version']),
    nbdcopy: await versionLine('nbdcopy', ['--version']),
    commit: await commit(),
    servers: servers.map(({ server, version }) => ({ name: server.name, version })),
    memoryFileSystem: await fileSystem(memoryDirectory),
    diskFileSystem: await fileSystem(diskDirectory),
    ...rest,
  };
};

/** Its type; of several mounts on one directory the last one is seen. */
const fileSystem = async (directory: string): Promise<string> => {
  const args = ['--noheadings', '--output', 'FSTYPE', '--target', directory];
  return (await run('findmnt', args, { timeout: 10_000 })).trim().split('\n').at(-1) ?? 'unknown';
};

const commit = async (): Promise<string> => {
  try {
    return (await run('git', ['describe', '--always', '--dirty'], { timeout: 10_000 })).trim();
  } catch {
    return 'unknown';
  }
};

const GIB = 1024 ** 3;

/** One a line. */
export const describeConditions = (conditions: Conditions): string[] => {
  const gib = (bytes: number): string => `${Number((bytes / GIB).toFixed(2))} GiB`;
  const { cores, memorySize, diskSize } = conditions;
  return [
    `${conditions.date}, nbdloop ${conditions.commit}, load average before: ${conditions.loadBefore.toFixed(2)}`,
    `${cores} cores of ${conditions.cpu}, ${gib(conditions.memory)}, Linux ${conditions.kernel}, Node ${conditions.node}`,
    `clients: ${conditions.fio ?? 'no fio'} (nbd engine), ${conditions.nbdcopy ?? 'no nbdcopy'}, on the same machine`,
    `images: ${gib(memorySize)} on ${conditions.memoryFileSystem}, ${gib(diskSize)} on ${conditions.diskFileSystem}, random bytes; virtual machines by software emulation`,
    `${conditions.rounds} rounds of ${conditions.runtime} s each, servers taking turns in every round after one warm-up; medians`,
    ...conditions.servers.map(({ name, version }) => `${name}: ${version}`),
  ];
};
