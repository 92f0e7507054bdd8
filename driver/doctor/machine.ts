/** Limits, addresses, clock, and what the program itself stands on. */

import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { createSecureContext } from 'node:tls';
import { memoryLimit, taskLimit } from '../group-limits.js';
import { bad, type Finding, good, note } from './finding.js';

/** The daemon's own descriptors and threads, with room for a few devices and connections. */
const LEAST_FILES = 256;
const LEAST_TASKS = 128;
const MIB = 1 << 20;
/** Program, heap, buffers, the helper process, and the pages of what is being written. */
const LEAST_MEMORY = 256 * MIB;
/** Program, heap and buffers, for --mlock. */
const MLOCK_BYTES = 256 * 1024 * 1024;
const FIRST_NODE = 20;
/** Certificates made today are not valid for a clock before this. */
const CLOCK_BEGINS = Date.UTC(2024, 0, 1);

export function checkLimits(): Finding[] {
  const limits = readFileSync('/proc/self/limits', 'latin1');
  // Node raises the soft limit of files to the hard one by itself.
  const hard = (name: string): number => {
    const value = new RegExp(`^Max ${name}\\s+\\S+\\s+(\\S+)`, 'm').exec(limits)?.[1] ?? 'unlimited';
    return value === 'unlimited' ? Number.POSITIVE_INFINITY : Number(value);
  };
  const tasks = Math.min(hard('processes'), taskLimit()?.limit ?? Number.POSITIVE_INFINITY);
  return [
    hard('open files') < LEAST_FILES
      ? bad(
          'open files',
          `at most ${hard('open files')}`,
          `ulimit -Hn ${LEAST_FILES} or more, LimitNOFILE= in a unit`,
        )
      : good('open files', `at most ${hard('open files')}`),
    tasks < LEAST_TASKS
      ? bad(
          'threads',
          `at most ${tasks}`,
          `ulimit -u, or pids.max of the control group (TasksMax=): ${LEAST_TASKS} or more`,
        )
      : good('threads', `at most ${tasks}`),
    checkMemory(),
    hard('locked memory') < MLOCK_BYTES && !mayLock()
      ? note(
          'locked memory',
          `at most ${hard('locked memory')} bytes`,
          'for --mlock: LimitMEMLOCK=infinity, or CAP_IPC_LOCK',
        )
      : good('locked memory', 'enough for --mlock'),
  ];
}

/** Of the control group; what is written to files counts there, too, until it is on their disks. */
function checkMemory(): Finding {
  const room = memoryLimit();
  if (room === undefined) return good('memory', 'no limit of a control group');
  const says = `at most ${Math.floor(room.limit / MIB)} MiB (${room.file})`;
  if (room.limit >= LEAST_MEMORY) return good('memory', says);
  return bad(
    'memory',
    says,
    `memory.max of the control group (MemoryMax=): ${LEAST_MEMORY / MIB} MiB or more`,
  );
}

/** CAP_IPC_LOCK (14): no limit counts. */
const mayLock = (): boolean => {
  const held = /^CapEff:\s*(\S+)/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1] ?? '0';
  return ((BigInt(`0x${held}`) >> 14n) & 1n) === 1n;
};

export async function checkIpv6(): Promise<Finding[]> {
  const error = await new Promise<NodeJS.ErrnoException | undefined>((resolve) => {
    const server = createServer();
    server.once('error', resolve);
    server.listen({ host: '::1', port: 0 }, () => server.close(() => resolve(undefined)));
  });
  if (error === undefined) return [good('IPv6', 'works')];
  return [
    note(
      'IPv6',
      `::1 can't be listened on (${error.code})`,
      '--listen with IPv4 addresses; :PORT falls back by itself',
    ),
  ];
}

export function checkTls(): Finding[] {
  const { openssl } = process.versions;
  try {
    createSecureContext({ minVersion: 'TLSv1.3' });
    return [good('TLS', `OpenSSL ${openssl}, TLS 1.3`)];
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    return [
      bad(
        'TLS',
        `OpenSSL ${openssl} makes no TLS 1.3 context: ${detail}`,
        'look at OPENSSL_CONF and the FIPS mode',
      ),
    ];
  }
}

export function checkClock(now: number = Date.now()): Finding[] {
  if (now >= CLOCK_BEGINS) return [good('clock', new Date(now).toISOString())];
  return [
    bad(
      'clock',
      `${new Date(now).toISOString()}: certificates are not valid yet`,
      'set the time, e.g. timedatectl set-ntp true',
    ),
  ];
}

export function checkNode(version: string = process.versions.node): Finding[] {
  if (Number.parseInt(version, 10) >= FIRST_NODE) return [good('Node.js', version)];
  return [bad('Node.js', `${version} is too old`, `install Node.js ${FIRST_NODE} or later`)];
}

const UNIT_DIRECTORIES = [
  '/etc/systemd/system',
  '/run/systemd/system',
  '/usr/lib/systemd/system',
  '/lib/systemd/system',
];

export function checkUnit(): Finding[] {
  const unit = UNIT_DIRECTORIES.map((directory) => `${directory}/nbdloopd.service`).find((path) =>
    existsSync(path),
  );
  if (unit !== undefined) return [good('systemd unit', unit)];
  return [
    note(
      'systemd unit',
      'not installed',
      'to start with the machine: packaging/install puts units, udev rules and mount helpers in their places',
    ),
  ];
}

/** mount(8) looks for its helpers there alone. */
export function checkMountHelper(): Finding[] {
  const helper = ['/sbin/mount.nbdloop', '/usr/sbin/mount.nbdloop'].find((path) => existsSync(path));
  if (helper !== undefined) return [good('mount helper', helper)];
  return [
    note(
      'mount helper',
      'mount(8) does not find mount.nbdloop, so mount -t nbdloop and lines of /etc/fstab do not work',
      'packaging/install, or ln -s "$(command -v mount.nbdloop)" /sbin/',
    ),
  ];
}
