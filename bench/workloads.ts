/** What is measured. */
import { KERNELS, type KernelVersion } from '../test/vm/kernel-image.js';
import type { Setup } from './servers/server.js';
import { TARGETS } from './targets.js';

/** A load of fio's. */
export interface FioLoad {
  readonly client: 'fio';
  readonly pattern: 'randread' | 'randwrite' | 'randrw' | 'read' | 'write';
  /** Bytes. */
  readonly blockSize: number;
  /** Requests in flight on each connection. */
  readonly depth: number;
  /** One fio process each. */
  readonly connections: number;
}

/** A copy of the whole image by nbdcopy, which chooses block size, depth and connections itself. */
export interface CopyLoad {
  readonly client: 'nbdcopy';
  /** `out`: from the server to a file; `drain`: from the server to nowhere; `in`: from a file to the server. */
  readonly direction: 'out' | 'drain' | 'in';
}

/**
 * One fio process on /dev/nbdN of a virtual machine in which the servers run too: nbdloop attaches by itself, the others by the stock
 * nbd-client, `connections` of them each. The machine's image is its own.
 */
export interface GuestLoad extends Omit<FioLoad, 'client'> {
  readonly client: 'guest';
  readonly kernel: KernelVersion;
}

export interface Workload {
  /** As `--only` takes it. */
  readonly id: string;
  readonly title: string;
  readonly setup: Setup;
  readonly load: FioLoad | CopyLoad | GuestLoad;
  /** The page cache holds nothing of the image at the start of each run. */
  readonly cold?: true;
  /** O_DIRECT is turned on and off this many times a second while the load runs. Only nbdloop can. */
  readonly togglesPerSecond?: number;
  /** Part of `--quick`. */
  readonly quick?: true;
}

const memory: Setup = { medium: 'memory', transport: 'unix', tls: false, direct: false };
const tcp: Setup = { ...memory, transport: 'tcp' };
const tls: Setup = { ...memory, tls: true };
const disk: Setup = { ...memory, medium: 'disk' };
const direct: Setup = { ...disk, direct: true };

const KIB = 1024;
const MIB = 1024 * KIB;

const fio = (
  pattern: FioLoad['pattern'],
  blockSize: number,
  depth: number,
  connections: number = 1,
): FioLoad => ({ client: 'fio', pattern, blockSize, depth, connections });

const quick = { quick: true } as const;

const smallBlocks: Workload[] = [1, 4, 16, 64].flatMap((depth) => [
  {
    id: `read-4k-qd${depth}`,
    title: `4 KiB random read, depth ${depth}`,
    setup: memory,
    load: fio('randread', 4 * KIB, depth),
    ...(depth === 1 || depth === 16 ? quick : {}),
  },
  {
    id: `write-4k-qd${depth}`,
    title: `4 KiB random write, depth ${depth}`,
    setup: memory,
    load: fio('randwrite', 4 * KIB, depth),
    ...(depth === 16 ? quick : {}),
  },
]);

const largeBlocks: Workload[] = (
  [
    ['128k', 128 * KIB, 8],
    ['1m', MIB, 4],
  ] as const
).flatMap(([name, blockSize, depth]) =>
  (['read', 'write'] as const).map((pattern) => ({
    id: `${pattern}-${name}-qd${depth}`,
    title: `${blockSize / KIB} KiB sequential ${pattern}, depth ${depth}`,
    setup: memory,
    load: fio(pattern, blockSize, depth),
    ...(pattern === 'read' ? quick : {}),
  })),
);

const copies: Workload[] = [
  {
    id: 'copy-out',
    title: 'nbdcopy of the image to a file',
    setup: memory,
    load: { client: 'nbdcopy', direction: 'out' },
  },
  {
    id: 'copy-drain',
    title: 'nbdcopy of the image to nowhere',
    setup: memory,
    load: { client: 'nbdcopy', direction: 'drain' },
  },
  {
    id: 'copy-in',
    title: 'nbdcopy of a file to the image',
    setup: memory,
    load: { client: 'nbdcopy', direction: 'in' },
  },
];

/** By kernel first: its rows share a boot. 6.1 with one connection has no suffix. */
const attached: Workload[] = KERNELS.flatMap((kernel) =>
  [1, 2].flatMap((connections) =>
    (
      [
        ['read-4k', 'randread', 4 * KIB, 16],
        ['write-4k', 'randwrite', 4 * KIB, 16],
        ['read-128k', 'read', 128 * KIB, 8],
        ['write-128k', 'write', 128 * KIB, 8],
        ['read-1m', 'read', MIB, 4],
        ['write-1m', 'write', MIB, 4],
      ] as const
    ).map(([name, pattern, blockSize, depth]): Workload => {
      const suffixes = `${connections === 1 ? '' : `-c${connections}`}${kernel === '6.1' ? '' : `-${kernel}`}`;
      const kind = pattern.startsWith('rand') ? `random ${pattern.slice(4)}` : `sequential ${pattern}`;
      return {
        id: `vm-${name}-qd${depth}${suffixes}`,
        title: `${blockSize / KIB} KiB ${kind}, depth ${depth}, on /dev/nbdN in a virtual machine with Linux ${kernel}`,
        setup: memory,
        load: { ...fio(pattern, blockSize, depth, connections), client: 'guest', kernel },
      };
    }),
  ),
);

/** All of them; neighbours share a setup, so that servers start once for each. */
export const WORKLOADS: readonly Workload[] = [
  ...smallBlocks,
  {
    id: 'mixed-4k-qd16',
    title: '4 KiB random 70 % read, 30 % write, depth 16',
    setup: memory,
    load: fio('randrw', 4 * KIB, 16),
  },
  ...largeBlocks,
  {
    id: 'read-4k-qd16-c4',
    title: '4 KiB random read, depth 16',
    setup: memory,
    load: fio('randread', 4 * KIB, 16, 4),
    ...quick,
  },
  {
    id: 'write-4k-qd16-c4',
    title: '4 KiB random write, depth 16',
    setup: memory,
    load: fio('randwrite', 4 * KIB, 16, 4),
  },
  ...copies,
  {
    id: 'tcp-read-4k-qd1',
    title: '4 KiB random read, depth 1',
    setup: tcp,
    load: fio('randread', 4 * KIB, 1),
  },
  {
    id: 'tcp-read-4k-qd16',
    title: '4 KiB random read, depth 16',
    setup: tcp,
    load: fio('randread', 4 * KIB, 16),
    ...quick,
  },
  {
    id: 'tcp-write-4k-qd16',
    title: '4 KiB random write, depth 16',
    setup: tcp,
    load: fio('randwrite', 4 * KIB, 16),
  },
  {
    id: 'tcp-read-128k-qd8',
    title: '128 KiB sequential read, depth 8',
    setup: tcp,
    load: fio('read', 128 * KIB, 8),
  },
  {
    id: 'tcp-read-4k-qd16-c4',
    title: '4 KiB random read, depth 16',
    setup: tcp,
    load: fio('randread', 4 * KIB, 16, 4),
  },
  {
    id: 'tls-read-4k-qd16',
    title: '4 KiB random read, depth 16',
    setup: tls,
    load: fio('randread', 4 * KIB, 16),
  },
  {
    id: 'tls-read-128k-qd8',
    title: '128 KiB sequential read, depth 8',
    setup: tls,
    load: fio('read', 128 * KIB, 8),
  },
  {
    id: 'tls-write-128k-qd8',
    title: '128 KiB sequential write, depth 8',
    setup: tls,
    load: fio('write', 128 * KIB, 8),
  },
  {
    id: 'cold-read-4k-qd32',
    title: '4 KiB random read, depth 32, cold page cache',
    setup: disk,
    load: fio('randread', 4 * KIB, 32),
    cold: true,
    ...quick,
  },
  {
    id: 'toggle-read-4k-qd16',
    title: '4 KiB random read, depth 16, O_DIRECT toggled 50 times a second',
    setup: disk,
    load: fio('randread', 4 * KIB, 16),
    togglesPerSecond: 50,
  },
  {
    id: 'direct-read-4k-qd16',
    title: '4 KiB random read, depth 16, O_DIRECT',
    setup: direct,
    load: fio('randread', 4 * KIB, 16),
  },
  {
    id: 'direct-write-4k-qd16',
    title: '4 KiB random write, depth 16, O_DIRECT',
    setup: direct,
    load: fio('randwrite', 4 * KIB, 16),
  },
  ...attached,
];

/**
 * Those whose id holds one of the patterns; a pattern that is an id stands for that one alone, and `targets` for
 * all that have a target. Throws on a pattern that finds none.
 */
export const selectWorkloads = (patterns: readonly string[]): Workload[] => {
  const chosen = new Set<Workload>();
  for (const pattern of patterns) {
    const exact = WORKLOADS.filter(({ id }) => id === pattern || (pattern === 'targets' && id in TARGETS));
    const found = exact.length > 0 ? exact : WORKLOADS.filter((workload) => workload.id.includes(pattern));
    if (found.length === 0) {
      throw new Error(
        `No workload's id holds ${pattern}: there are ${WORKLOADS.map(({ id }) => id).join(', ')}.`,
      );
    }
    for (const workload of found) chosen.add(workload);
  }
  return WORKLOADS.filter((workload) => chosen.has(workload));
};

/** The same load from twice as many clients: for a server that one client cannot keep busy. */
export const withMoreClients = (workload: Workload): Workload | undefined => {
  const { load } = workload;
  if (load.client !== 'fio') return undefined;
  const connections = load.connections * 2;
  return { ...workload, id: `${workload.id}-more-clients`, load: { ...load, connections } };
};

/** E.g. `Unix socket, 1 connection, memory`. */
export const circumstances = ({ setup, load }: Workload): string =>
  [
    setup.transport === 'tcp' ? 'TCP loopback' : 'Unix socket',
    ...(setup.tls ? ['TLS'] : []),
    ...(load.client !== 'nbdcopy'
      ? [load.connections === 1 ? '1 connection' : `${load.connections} connections`]
      : []),
    setup.medium,
  ].join(', ');
