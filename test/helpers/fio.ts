/** fio as a client: its nbd engine against an export, its results read from JSON. */
import { type Ended, type RunningProcess, run, start } from './process.js';
import { tool } from './tools.js';

/** Options of fio as on its command line: { rw: 'randread', iodepth: 32 }; true for a bare switch. */
export type FioOptions = Readonly<Record<string, string | number | true>>;

/** fio's command line for one named job with its nbd engine on `uri`. */
export const nbdJob = (uri: string, options: FioOptions): string[] => [
  ...['--output-format=json', '--name=job', '--ioengine=nbd', `--uri=${uri}`],
  ...commandLine(options),
];

/** The parts of fio's JSON output that tests look at. */
export interface FioResult {
  /** Errno of the first failed I/O, 0 when there was none; one a job. */
  readonly errors: readonly number[];
  readonly readBytes: number;
  readonly writtenBytes: number;
}

/** Runs fio to its end. */
export const runFio = (args: readonly string[], timeoutMs = 120_000, cwd?: string): Promise<Ended> =>
  run(tool('fio'), args, { timeoutMs, ...(cwd === undefined ? {} : { cwd }) });

/** Starts fio; use with `await using`. */
export const startFio = (args: readonly string[]): RunningProcess => start(tool('fio'), args);

/** Reads what fio wrote with --output-format=json; warnings may stand before it. */
export function parseFio(stdout: string): FioResult {
  const start = stdout.indexOf('{');
  if (start < 0) throw new Error(`fio wrote no JSON:\n${stdout}`);
  const report = JSON.parse(stdout.slice(start)) as {
    jobs: { error: number; read: { io_bytes: number }; write: { io_bytes: number } }[];
  };
  const total = (pick: (job: (typeof report.jobs)[number]) => number): number =>
    report.jobs.reduce((sum, job) => sum + pick(job), 0);
  return {
    errors: report.jobs.map((job) => job.error),
    readBytes: total((job) => job.read.io_bytes),
    writtenBytes: total((job) => job.write.io_bytes),
  };
}

const commandLine = (options: FioOptions): string[] =>
  Object.entries(options).map(([name, value]) => (value === true ? `--${name}` : `--${name}=${value}`));
