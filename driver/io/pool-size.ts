/** Threads of libuv's pool that the daemon runs with; `file-lanes.ts` says who gets how many. */
export const POOL_THREADS = 80;
