/** Reads and writes of overlays beside what others have, in turns: a server's first writes to a block, and what comes after. */
import { type ClientRun, parseFio } from '../clients/fio.js';
import type { RunningServer } from '../servers/server.js';
import { median } from '../statistics.js';
import { treeCpu } from '../system/proc.js';
import { run } from '../system/process.js';
import { CONTENDERS, type Contender, fresh } from './contenders.js';

type Pattern = 'randread' | 'randwrite' | 'read' | 'write';

interface Row {
  readonly title: string;
  readonly pattern: Pattern;
  /** As fio takes it. */
  readonly blockSize: '4k' | '1m';
  readonly depth: number;
  /** Every block once, on a server that holds none; else its blocks are there, and time is the end. */
  readonly isFirst: boolean;
  /** Share of the plain device's rate; undefined: none is asked for. */
  readonly ofPlain?: number;
}

const ROWS: readonly Row[] = [
  {
    title: '4 KiB random read, held',
    pattern: 'randread',
    blockSize: '4k',
    depth: 16,
    isFirst: false,
    ofPlain: 0.9,
  },
  {
    title: '4 KiB random write, held',
    pattern: 'randwrite',
    blockSize: '4k',
    depth: 16,
    isFirst: false,
    ofPlain: 0.9,
  },
  {
    title: '4 KiB random write, first',
    pattern: 'randwrite',
    blockSize: '4k',
    depth: 16,
    isFirst: true,
    ofPlain: 0.6,
  },
  { title: '1 MiB read, held', pattern: 'read', blockSize: '1m', depth: 4, isFirst: false },
  { title: '1 MiB write, held', pattern: 'write', blockSize: '1m', depth: 4, isFirst: false },
  { title: '1 MiB write, first', pattern: 'write', blockSize: '1m', depth: 4, isFirst: true },
];

const SECONDS = 2;

async function fio(server: RunningServer, row: Omit<Row, 'title'>, seed: number): Promise<ClientRun> {
  const { pattern, blockSize, depth, isFirst } = row;
  const words = [
    ...['--name=bench', '--ioengine=nbd', `--uri=${server.address}`, `--rw=${pattern}`, `--bs=${blockSize}`],
    ...[`--iodepth=${depth}`, `--randseed=${seed}`, '--unified_rw_reporting=1', '--eta=never'],
    ...(isFirst ? [] : ['--time_based', `--runtime=${SECONDS}`]),
    '--output-format=json',
  ];
  const load = { pattern, blockSize: 0, depth, connections: 1 };
  return parseFio(await run('fio', words, { timeout: 300_000 }), load);
}

interface Sample {
  /** Requests a second. */
  readonly rate: number;
  /** Microseconds of the server's a request. */
  readonly cpu: number;
}

async function sample(server: RunningServer, row: Row, seed: number): Promise<Sample> {
  const before = treeCpu(server.pid ?? 0);
  const { requests = Number.NaN, seconds } = await fio(server, row, seed);
  return { rate: requests / seconds, cpu: (treeCpu(server.pid ?? 0) - before) / requests };
}

/** Contenders of a row, in turns. */
async function measure(
  row: Row,
  base: string,
  memory: string,
  rounds: number,
): Promise<Map<string, Sample[]>> {
  const samples = new Map<string, Sample[]>(CONTENDERS.map(({ name }) => [name, []]));
  const held = new Map<Contender, RunningServer>();
  try {
    for (let round = 0; round <= rounds; round++) {
      for (const contender of round % 2 === 0 ? CONTENDERS : CONTENDERS.toReversed()) {
        let server = held.get(contender);
        server ??= await fresh(contender, base, memory);
        if (!row.isFirst && !held.has(contender)) {
          held.set(contender, server);
          await fio(server, { pattern: 'write', blockSize: '1m', depth: 4, isFirst: true }, 1);
        }
        const one = await sample(server, row, round + 1);
        if (round > 0) samples.get(contender.name)?.push(one);
        if (row.isFirst) await server.stop();
      }
    }
  } finally {
    for (const server of held.values()) await server.stop();
  }
  return samples;
}

/** Prints the table. Returns what was to be reached and was not. */
export async function overlayRows(base: string, memory: string, rounds: number): Promise<string[]> {
  const names = CONTENDERS.map(({ name }) => name);
  const print = (cells: readonly (string | number)[]): boolean =>
    process.stdout.write(`| ${cells.join(' | ')} |\n`);
  print([
    'row',
    ...names.map((name) => `${name}, requests/s (CPU us)`),
    'of plain',
    'of the better of the others',
  ]);
  print(['---', ...names.map(() => '---:'), '---:', '---:']);
  const failures: string[] = [];
  let doubled = 0;
  for (const row of ROWS) {
    const samples = await measure(row, base, memory, rounds);
    const of = (name: string, pick: (one: Sample) => number): number =>
      median((samples.get(name) ?? []).map(pick));
    const rate = (name: string): number => of(name, (one) => one.rate);
    const ours = rate('overlay');
    const ofPlain = ours / rate('plain');
    const ofOthers = ours / Math.max(rate('nbdkit cow'), rate('qemu-nbd qcow2'));
    if (ofOthers >= 2) doubled++;
    if (!(ofOthers >= 1)) failures.push(`${row.title}: ${ofOthers.toFixed(2)} of the better of the others`);
    if (!(ofPlain >= (row.ofPlain ?? 0)))
      failures.push(
        `${row.title}: ${ofPlain.toFixed(2)} of the plain device, ${row.ofPlain} is to be reached`,
      );
    const cells = names.map((name) => `${rate(name).toFixed(0)} (${of(name, ({ cpu }) => cpu).toFixed(1)})`);
    print([row.title, ...cells, ofPlain.toFixed(2), ofOthers.toFixed(2)]);
  }
  if (doubled * 2 < ROWS.length)
    failures.push(`twice the better of the others on ${doubled} of ${ROWS.length} rows`);
  return failures;
}
