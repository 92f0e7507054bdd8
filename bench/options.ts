/** The command line of `npm run bench`. */
import { Command, InvalidArgumentError } from 'commander';

export interface Options {
  readonly quick: boolean;
  readonly only: readonly string[] | undefined;
  readonly peers: readonly string[] | undefined;
  readonly keepAwake: boolean;
  readonly rounds: number | undefined;
  /** Whole seconds a run: fio 3.33 may run for ever on a fraction. */
  readonly runtime: number | undefined;
  readonly json: string | undefined;
  readonly html: string | undefined;
  readonly markdown: string | undefined;
  /** Render these files of `--json` rather than measure. */
  readonly from: readonly string[] | undefined;
  readonly diskDirectory: string;
  readonly memoryDirectory: string;
  readonly list: boolean;
  readonly profile: boolean;
  readonly ablate: boolean;
  readonly check: readonly string[] | undefined;
  readonly minutes: number;
}

const names = (text: string): string[] => text.split(',').filter((name) => name !== '');

const positive = (text: string): number => {
  const value = Number(text);
  if (!(Number.isFinite(value) && value > 0)) throw new InvalidArgumentError('It is a number above 0.');
  return value;
};

const count = (text: string): number => {
  const value = positive(text);
  if (!Number.isInteger(value)) throw new InvalidArgumentError('It is a whole number above 0.');
  return value;
};

export const parseOptions = (args: readonly string[]): Options =>
  new Command('bench')
    .description(
      'Measures nbdloop beside every other NBD server that is installed, on the same file, in turns.',
    )
    .option('--quick', 'few workloads, 2 rounds of 1 second', false)
    .option(
      '--only <ids>',
      'workloads by id or part of one, comma-separated; targets: all that have one',
      names,
    )
    .option('--peers <names>', 'servers to compare with, comma-separated', names)
    .option('--keep-awake', 'start nbdloop with --keep-awake', false)
    .option('--rounds <number>', 'rounds of each workload (default 5)', count)
    .option('--runtime <seconds>', 'of one run, whole (default 3)', count)
    .option('--json <file>', 'write all samples')
    .option('--html <file>', 'write a page with plots')
    .option('--markdown <file>', 'write the tables into this page')
    .option('--from <files>', 'report on the samples in these files, comma-separated; measure nothing', names)
    .option('--disk-directory <path>', 'where the image on a real disk goes', '/var/tmp')
    .option('--memory-directory <path>', 'where the image in memory goes', '/dev/shm')
    .option('--list', 'list workloads and servers, measure nothing', false)
    .option('--ablate', 'what each mechanism of server/pace gains: nbdloop without it, in turns', false)
    .option('--profile', 'where nbdloop spends the CPU of one request, by perf', false)
    .option(
      '--check <names>',
      'start, idle, fairness, memory: checks of nbdloop alone, comma-separated',
      names,
    )
    .option('--minutes <number>', 'length of the memory check', positive, 10)
    .parse(args, { from: 'user' })
    .opts<Options>();
