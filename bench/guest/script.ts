/** The shell script that measures inside the virtual machine. */
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { fioArguments } from '../clients/fio.js';
import { EXPORT } from '../servers/server.js';
import type { GuestLoad } from '../workloads.js';

const IMAGE = '/dev/shm/image';
const PROGRAM = fileURLToPath(new URL('../../bin/nbdloopd.js', import.meta.url));

const socketOf = (name: string): string => `/run/${name}.sock`;

interface GuestServer {
  /** Starts it on `IMAGE`, in the background of the script; leaves its id in /run/NAME.pid. */
  readonly start: string;
  readonly device: string;
  readonly attach: (connections: number) => string;
  readonly detach: string;
}

/** By the stock client, as users of these servers do. */
const byClient = (name: string, device: string): Omit<GuestServer, 'start'> => ({
  device,
  attach: (connections) =>
    `nbd-client -N ${EXPORT} -u ${socketOf(name)} ${device} -b 4096 -C ${connections} >/dev/null`,
  detach: `nbd-client -d ${device} >/dev/null
while [ -e /sys/block/${device.slice(5)}/pid ]; do sleep 0.1; done`,
});

const ofDevice = 'http://localhost/devices/0/attach';
const curl = 'curl --silent --show-error --fail-with-body --unix-socket /run/control.sock';

export const GUEST_SERVERS: Readonly<Record<string, GuestServer>> = {
  nbdloop: {
    start:
      `${process.execPath} ${PROGRAM} --listen none --unix ${socketOf('nbdloop')} --control /run/control.sock ` +
      `--state-dir /run/state --device ${IMAGE} --log-level error & echo $! >/run/nbdloop.pid`,
    device: '/dev/nbd0',
    attach: (connections) =>
      `${curl} --json '{"by":"netlink","connections":${connections}}' ${ofDevice} >/dev/null`,
    detach: `${curl} -X DELETE ${ofDevice}`,
  },
  nbdkit: {
    start: `nbdkit --foreground --unix ${socketOf('nbdkit')} file file=${IMAGE} & echo $! >/run/nbdkit.pid`,
    ...byClient('nbdkit', '/dev/nbd1'),
  },
  'nbd-server': {
    start:
      `printf '[generic]\\nallowlist = true\\nunixsock = ${socketOf('nbd-server')}\\n[${EXPORT}]\\nexportname = ${IMAGE}\\n` +
      `flush = true\\nfua = true\\ntrim = true\\n' >/run/nbd-server.conf\n` +
      'nbd-server -C /run/nbd-server.conf -p /run/nbd-server.pid',
    ...byClient('nbd-server', '/dev/nbd2'),
  },
  'loop.ko': {
    start: '',
    device: '/dev/loop0',
    attach: () => `losetup /dev/loop0 ${IMAGE}`,
    detach: 'losetup -d /dev/loop0',
  },
};

/** Where a round's report goes in the shared directory; what the server used meanwhile stands beside it, `.cpu`. */
export const reportName = (server: string, workload: string, round: number): string =>
  `${server}.${workload}.${round}.json`;

/** Of Linux, for user space: 100 a second on every processor that is served. */
const TICK_US = 10_000;

/** Microseconds of CPU between the two lines of /proc/PID/stat in the file. */
export function readTicks(path: string): number | undefined {
  if (!existsSync(path)) return undefined;
  const [before, after] = readFileSync(path, 'utf8').trim().split('\n').map(ticksOf);
  return before === undefined || after === undefined ? undefined : (after - before) * TICK_US;
}

/** proc(5): utime and stime are the 14th and 15th field, the name in parentheses is the second. */
function ticksOf(line: string): number {
  const fields = line.slice(line.lastIndexOf(')') + 2).split(' ');
  return Number(fields[11]) + Number(fields[12]);
}

export interface GuestRuns {
  readonly rounds: number;
  /** Seconds. */
  readonly runtime: number;
}

export interface GuestRow {
  readonly id: string;
  readonly load: GuestLoad;
}

/** Round 0 is the warm-up. Random bytes are made once: they cost most in an emulated machine. */
export const guestScript = (
  servers: readonly string[],
  rows: readonly GuestRow[],
  runs: GuestRuns,
): string => {
  const turns = rows.flatMap((row) =>
    Array.from({ length: runs.rounds + 1 }, (_, round) =>
      servers.map((_, turn) => oneTurn(servers[(turn + round) % servers.length] ?? '', round, row, runs)),
    ),
  );
  const started = servers.filter((name) => GUEST_SERVERS[name]?.start !== '');
  return `
head -c 4M /dev/urandom >/dev/shm/piece
for i in $(seq 32); do cat /dev/shm/piece; done >${IMAGE}
${started.map((name) => GUEST_SERVERS[name]?.start ?? '').join('\n')}
for name in ${started.join(' ')}; do
  for i in $(seq 600); do [ -S /run/$name.sock ] && break; sleep 0.1; done
done
${servers.includes('nbdloop') ? 'for i in $(seq 600); do [ -S /run/control.sock ] && break; sleep 0.1; done' : ''}
sleep 1
${turns.flat(2).join('\n')}
`;
};

const oneTurn = (name: string, round: number, { id, load }: GuestRow, { runtime }: GuestRuns): string => {
  const server = GUEST_SERVERS[name];
  if (server === undefined) throw new Error(`${name} is not measured in a guest`);
  const options = { runtime, seed: round + 1, direct: true };
  const fio = fioArguments(server.device, { ...load, connections: 1 }, options).map((word) => `'${word}'`);
  const report = `$SHARED/${reportName(name, id, round)}`;
  // nbd-server has a child a connection, whose time nobody adds up.
  const stat =
    name === 'nbdloop' || name === 'nbdkit' ? `cat /proc/$(cat /run/${name}.pid)/stat >>${report}.cpu` : '';
  return `echo "${id}: ${name}, round ${round}"
${server.attach(load.connections)}
${stat}
fio ${fio.join(' ')} >${report}
${stat}
${server.detach}`;
};
