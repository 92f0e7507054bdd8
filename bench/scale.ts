/**
 * What grows with connections and devices: `npm run bench:scale`, on an idle machine. One daemon has all devices; the client
 * (bench/many/many.c) is one thread with 4 KiB random reads, 64 of them outstanding in all, or one a connection where there are more.
 */
import { fileURLToPath } from 'node:url';
import { Daemon } from '../test/helpers/daemon.js';
import { makeRandomFile, TempDir } from '../test/helpers/temp.js';
import { treeCpu, treeResident } from './system/proc.js';
import { run } from './system/process.js';

const SOURCE = fileURLToPath(new URL('../../bench/many/many.c', import.meta.url));
const CONNECTIONS = [1, 8, 64, 512] as const;
const DEVICES = [1, 100, 1000] as const;
const SECONDS = 3;
const ROUNDS = 3;
const OUTSTANDING = 64;
const IMAGE_BYTES = 1 << 20;

interface Row {
  readonly devices: number;
  readonly connections: number;
  readonly depth: number;
  /** Requests a second. */
  readonly rate: number;
  /** Microseconds of CPU a request, of the daemon and of the client. */
  readonly serverCpu: number;
  readonly clientCpu: number;
  /** Microseconds. */
  readonly p50: number;
  readonly p99: number;
  /** MB of 10^6 bytes. */
  readonly resident: number;
}

async function measure(client: string, daemon: Daemon, devices: number, connections: number): Promise<Row> {
  const depth = Math.max(1, OUTSTANDING / connections);
  const before = treeCpu(daemon.pid);
  const words = [daemon.socket, connections, depth, SECONDS, devices].map(String);
  const output = await run(client, words, { timeout: (SECONDS + 60) * 1000 });
  const [done = 0, seconds = 1, p50 = 0, p99 = 0, cpu = 0] = output.trim().split(' ').map(Number);
  return {
    ...{ devices, connections, depth, p50, p99 },
    rate: done / seconds,
    serverCpu: (treeCpu(daemon.pid) - before) / done,
    clientCpu: cpu / done,
    resident: (treeResident(daemon.pid) * 1024) / 1e6,
  };
}

/** The round whose rate is in the middle. */
const middle = (rows: readonly Row[]): Row =>
  [...rows].sort((a, b) => a.rate - b.rate)[rows.length >> 1] as Row;

async function main(): Promise<void> {
  using files = new TempDir();
  const client = files.file('many');
  await run('cc', ['-O2', '-o', client, SOURCE], { timeout: 60_000 });
  process.stdout.write(
    '| devices | connections | outstanding each | requests/s | server us | client us | p50 us | p99 us | resident MB |\n' +
      '| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n',
  );
  for (const devices of DEVICES) {
    await using daemon = await Daemon.start();
    for (let i = 0; i < devices; i++) {
      await daemon.client.find({ file: makeRandomFile(files.file(`${devices}-${i}.img`), IMAGE_BYTES) });
    }
    for (const connections of CONNECTIONS) {
      const rows: Row[] = [];
      for (let round = 0; round <= ROUNDS; round++) {
        const row = await measure(client, daemon, devices, connections);
        if (round > 0) rows.push(row);
      }
      const { depth, rate, serverCpu, clientCpu, p50, p99, resident } = middle(rows);
      const cells = [
        devices,
        connections,
        depth,
        Math.round(rate),
        serverCpu.toFixed(2),
        clientCpu.toFixed(2),
        p50,
        p99,
      ];
      process.stdout.write(`| ${[...cells, resident.toFixed(0)].join(' | ')} |\n`);
    }
  }
}

await main();
