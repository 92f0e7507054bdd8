/** nbdloop's commands about overlays. */
import type { Command } from 'commander';
import type { SnapshotAnswer, SnapshotRequest } from '../control/messages.js';
import { absolutePath, readableName } from '../file-name.js';
import { type Common, daemonCommand, printJson } from './daemon-command.js';
import { checkText, deltaText, mapJson, mapText } from './delta-text.js';
import { connectDaemon, deviceNumber } from './device-name.js';
import { CliError, errnoOf, reasonOf } from './fail.js';
import { print, printSlowly } from './print.js';

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
  looking(
    'check',
    'say what is wrong with it, also with what it lies over; exit 1 where something is',
  ).action(async (file: string, { json }: Json) => {
    const examined = await explained(file, async () => (await reader()).examineDelta(file));
    if (json === true) printJson(plain(examined));
    else print(checkText(examined));
    if (examined.faults.length > 0) process.exitCode = 1;
  });
  looking('map', 'print which ranges it holds: offset, length, and delta or base').action(
    async (file: string, { json }: Json) => {
      await explained(file, async () => {
        const parts = (await reader()).mapDelta(file);
        for await (const text of json === true ? mapJson(parts) : mapText(parts)) await printSlowly(text);
      });
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

export function addSnapshot(program: Command): void {
  interface Options extends Common, Json {
    readonly fsfreeze?: true;
  }
  daemonCommand(
    program,
    'snapshot',
    'keep what devices hold at one instant: a clone where the file system has them, else the delta is sealed',
  )
    .argument('<device file...>', 'loopN and the file to make of it, as often as there are devices')
    .option('--fsfreeze', 'freeze the file systems that are mounted here from the devices meanwhile')
    .option('--json', 'print everything as JSON')
    .action(async (words: string[], { control, fsfreeze, json }: Options) => {
      if (words.length % 2 !== 0) throw new CliError('EINVAL', 'a device and a file belong together');
      const client = connectDaemon(control);
      const devices: SnapshotRequest['devices'][number][] = [];
      for (let at = 0; at < words.length; at += 2) {
        const [word = '', file = ''] = words.slice(at);
        devices.push({ number: await deviceNumber(word, client), file: absolutePath(file) });
      }
      const taken = await client.snapshot({ devices, ...(fsfreeze && { fsfreeze }) });
      if (json === true) printJson(taken);
      else print(taken.map(snapshotLine).join(''));
    });
}

const snapshotLine = ({ number, file, kind, waitedMs, delta }: SnapshotAnswer): string => {
  const its = delta === null ? '' : readableName(delta);
  const clone = delta === null ? 'a clone' : `a clone of the delta ${its}`;
  const what = kind === 'clone' ? clone : `the sealed delta, under ${its}`;
  return `loop${number}: ${readableName(file)} is ${what}; requests waited ${waitedMs.toFixed(1)} ms at most\n`;
};
