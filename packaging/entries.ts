/** What of `dist/` becomes a file of its own in `dist/bin`, where programs and threads are started by their names. */

const PROGRAMS = ['nbdloopd', 'nbdlosetup', 'nbdloop', 'mount-nbdloop', 'umount-nbdloop'].map(
  (name) => `driver/cli/${name}.js`,
);
/** Started or loaded by URL. */
const PARTS = [
  'driver/kernel/netlink/kernel-thread.js',
  'driver/helper/helper-process.js',
  'driver/remote/tls-carrier.js',
  'driver/queue/queue-rq.js',
  'driver/store/copier.js',
  'server/reactor/reactor-worker.js',
  'server/tls/handshake-worker.js',
  'driver/store/volatile/settle-worker.js',
];

export const ENTRIES: readonly string[] = [...PROGRAMS, ...PARTS];

/** Packages with a program of machine code, which is looked for in their folders. */
export const NATIVE = ['koffi', '@koromix'];

/** What packages of the older kind call. */
export const REQUIRE =
  "import { createRequire as makeRequire } from 'node:module'; const require = makeRequire(import.meta.url);";
