/** nbdloop's commands about overlays. */
import type { Command } from 'commander';
import { printJson } from './daemon-command.js';
import { checkText, deltaText, mapText } from './delta-text.js';
import { CliError, errnoOf, reasonOf } from './fail.js';
import { print } from './print.js';

interface Json {
  readonly json?: true;
}

/** Looks at a file without a daemon. */
export function addDelta(program: Command): void {
  const delta = program
    .command('delta')
    .description('look at a delta, the file of an overlay; no daemon is asked')
    .helpOption('-h, --help', 'print this help');
  const looking = (name: string, description: string): Command =>
    delta
      .command(name)
      .description(description)
      .helpOption('-h, --help', 'print this help')
      .argument('<file>', 'the delta')
      .option('--json', 'print everything as JSON');
  looking('info', 'say what it is: its size, what it holds, what it lies over').action(
    async (file: string, { json }: Json) => {
      const examined = await explained(file, async () => (await reader()).examineDelta(file));
      if (json === true) printJson(plain(examined));
      else print(deltaText(examined));
      if (examined.header === undefined) process.exitCode = 1;
    },
  );
  looking('check', 'say what is wrong with it, also with what it lies over; exit 1 where something is').action(
    async (file: string, { json }: Json) => {
      const examined = await explained(file, async () => (await reader()).examineDelta(file));
      if (json === true) printJson(plain(examined));
      else print(checkText(examined));
      if (examined.faults.length > 0) process.exitCode = 1;
    },
  );
  looking('map', 'print which ranges it holds: offset, length, and delta or base').action(
    async (file: string, { json }: Json) => {
      const runs = await explained(file, async () => (await reader()).mapDelta(file));
      if (json === true) printJson(runs);
      else print(mapText(runs));
    },
  );
}

/** Loaded by these commands alone: it makes system calls. */
const reader = () => import('../store/delta/examine.js');

async function explained<T>(file: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw new CliError(errnoOf(error) ?? 'EIO', `${file}: ${reasonOf(error)}`);
  }
}

/** JSON has no number of 64 bits. */
const plain = (value: unknown): unknown =>
  JSON.parse(JSON.stringify(value, (_, one: unknown) => (typeof one === 'bigint' ? String(one) : one)));
