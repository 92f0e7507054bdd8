/** The shell script that measures inside the virtual machine. */
import { fileURLToPath } from 'node:url';
import { fioArguments } from '../clients/fio.js';
import { EXPORT } from '../servers/server.js';
import type { GuestLoad } from '../workloads.js';

const IMAGE = '/dev/shm/image';
const PROGRAM = fileURLToPath(new URL('../../bin/nbdloopd.js', import.meta.url));

const socketOf = (name: string): string => `/run/${name}.sock`;

/** How each server is started on `IMAGE`, in the background of the script. */
export const GUEST_SERVERS: Readonly<Record<string, (name: string) => string>> = {
  nbdloop: (name) =>
    `${process.execPath} ${PROGRAM} --listen none --unix ${socketOf(name)} --control /run/control.sock ` +
    `--state-dir /run/state --device ${IMAGE} --log-level error &`,
  nbdkit: (name) => `nbdkit --foreground --unix ${socketOf(name)} file file=${IMAGE} &`,
  'nbd-server': (name) =>
    `printf '[generic]\\nallowlist = true\\nunixsock = ${socketOf(name)}\\n[${EXPORT}]\\nexportname = ${IMAGE}\\n` +
    `flush = true\\nfua = true\\ntrim = true\\n' >/run/nbd-server.conf\nnbd-server -C /run/nbd-server.conf`,
};

/** Where a round's report goes in the shared directory. */
export const reportName = (server: string, round: number): string => `${server}.${round}.json`;

export interface GuestRuns {
  readonly rounds: number;
  /** Seconds. */
  readonly runtime: number;
}

/** Round 0 is the warm-up. Random bytes are made once: they cost most in an emulated machine. */
export const guestScript = (servers: readonly string[], load: GuestLoad, runs: GuestRuns): string => {
  const turns = Array.from({ length: runs.rounds + 1 }, (_, round) =>
    servers.map((_, turn) => oneTurn(servers[(turn + round) % servers.length] ?? '', round, load, runs)),
  );
  return `
head -c 4M /dev/urandom >/dev/shm/piece
for i in $(seq 32); do cat /dev/shm/piece; done >${IMAGE}
${servers.map((name) => GUEST_SERVERS[name]?.(name) ?? '').join('\n')}
for name in ${servers.join(' ')}; do
  for i in $(seq 600); do [ -S /run/$name.sock ] && break; sleep 0.1; done
done
sleep 1
${turns.flat().join('\n')}
`;
};

const oneTurn = (name: string, round: number, load: GuestLoad, { runtime }: GuestRuns): string => {
  const options = { runtime, seed: round + 1, direct: true };
  const fio = fioArguments('/dev/nbd0', load, options).map((argument) => `'${argument}'`);
  return `echo "${name}, round ${round}"
nbd-client -N ${EXPORT} -u ${socketOf(name)} /dev/nbd0 -b 4096 >/dev/null
fio ${fio.join(' ')} >$SHARED/${reportName(name, round)}
nbd-client -d /dev/nbd0 >/dev/null
while [ -e /sys/block/nbd0/pid ]; do sleep 0.1; done`;
};
