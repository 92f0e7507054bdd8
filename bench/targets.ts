/** What nbdloop is to reach: two cores, peers of Debian 12, the ratio to the best peer on that row. */

export interface Target {
  /** At least this many times the best peer's requests (or bytes) a second. */
  readonly rate?: number;
  /** At most this share of the server CPU a request that the peer with the least needs. */
  readonly cpu?: number;
  /** In place of `CPU_WHEN_CLIENT_BOUND`. */
  readonly cpuWhenClientBound?: number;
}

/** Shares of the floor that serves the file (`bench/floor`): at least so much of its rate, or at most so much of its CPU. */
export const FLOOR = { rate: 0.9, cpu: 1.25 };

/** Where the client is the bound, the rate says nothing of the server: then its CPU a request decides the row. */
export const CPU_WHEN_CLIENT_BOUND = 0.6;

/** By workload id. */
export const TARGETS: Readonly<Record<string, Target>> = {
  'read-4k-qd1': { rate: 2.0 },
  'read-4k-qd4': { rate: 2.5 },
  'read-4k-qd16': { rate: 2.0, cpu: 0.6 },
  'read-4k-qd64': { rate: 2.0 },
  'write-4k-qd1': { rate: 2.0 },
  'write-4k-qd16': { rate: 2.0, cpu: 0.6 },
  'read-128k-qd8': { rate: 1.3 },
  'read-1m-qd4': { rate: 1.5 },
  'write-1m-qd4': { rate: 1.3 },
  'read-4k-qd16-c4': { rate: 2.0, cpu: 0.35 },
  'cold-read-4k-qd32': { rate: 1.1 },
  'tcp-read-4k-qd16': { rate: 1.3 },
  'tls-read-4k-qd16': { rate: 1.5, cpu: 1, cpuWhenClientBound: 0.7 },
  'tls-read-128k-qd8': { rate: 1.3, cpuWhenClientBound: 0.7 },
  'tls-write-128k-qd8': { rate: 1.3, cpuWhenClientBound: 0.7 },
  'copy-out': { rate: 1.2 },
  'copy-in': { rate: 1.2 },
  'vm-read-4k-qd16': { rate: 1.2 },
  'vm-write-4k-qd16': { rate: 1.5 },
  'vm-read-128k-qd8': { rate: 1.2 },
  'vm-write-128k-qd8': { rate: 1.2 },
};

/** Megabytes (10^6) resident with 4 connections under load. */
export const MEMORY_LIMIT = 120;
/** Seconds from start to the first accepted connection. */
export const START_LIMIT = 0.3;
/** Share of a core that idle connections may cost. */
export const IDLE_LIMIT = 0.005;
/** Milliseconds: p99 of a client with one 4 KiB request at a time beside one with 16 of 1 MiB. */
export const FAIR_P99_LIMIT = 5;
