/** nbdloop move, flatten, commit and cancel: copies of devices that are in use, and how they go. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Command, InvalidArgumentError } from 'commander';
import type { ControlClient } from '../control/client.js';
import type { CopyAnswer } from '../control/messages.js';
import { absolutePath, readableName } from '../file-name.js';
import { type Common, daemonCommand, printJson } from './daemon-command.js';
import { connectDaemon, deviceNumber } from './device-name.js';
import { CliError, errnoOf } from './fail.js';
import { print } from './print.js';
import { parseSize } from './size.js';
import { humanBytes } from './units.js';

interface Options extends Common {
  readonly rate?: number;
  readonly json?: true;
}

const LOOK_MS = 200;
const BAR_WIDTH = 40;

export function addCopies(program: Command): void {
  copying(program, 'move', 'copy a device that is in use to a new file, which it has then; the old one stays')
    .argument('<file>', 'where to; of an overlay it is a raw image')
    .action(async (device: string, file: string, options: Options) => {
      await follow(device, options, (client, number) =>
        client.move(number, absolutePath(file), options.rate),
      );
    });
  copying(program, 'flatten', 'make one raw file of an overlay that is in use, in place of its delta')
    .argument('[file]', 'the file to make; then the delta stays')
    .action(async (device: string, file: string | undefined, options: Options) => {
      const request = {
        rate: options.rate ?? 0,
        ...(file === undefined ? {} : { file: absolutePath(file) }),
      };
      await follow(device, options, (client, number) => client.flatten(number, request));
    });
  copying(
    program,
    'commit',
    'write the delta of an overlay in use into its base; the delta is gone then',
  ).action(async (device: string, options: Options) => {
    await follow(device, options, (client, number) => client.commit(number, options.rate));
  });
  daemonCommand(program, 'cancel', 'end the copy of a device that runs; it has its old file')
    .argument('<device>', 'loopN or /dev/nbdN')
    .action(async (device: string, { control }: Common) => {
      const client = connectDaemon(control);
      await client.cancelCopy(await deviceNumber(device, client));
    });
}

function copying(program: Command, name: string, description: string): Command {
  return daemonCommand(program, name, `${description}; Ctrl-C cancels it`)
    .argument('<device>', 'loopN or /dev/nbdN')
    .option('--rate <bytes>', 'a second at most; K, M, G as usual', bytesOf)
    .option('--json', 'print how it ended as JSON');
}

/** Shows how a copy goes until it has ended. An interrupt cancels it. Throws what became of one that did not come to be. */
async function follow(
  device: string,
  { control, json }: Options,
  begin: (client: ControlClient, number: number) => Promise<CopyAnswer>,
): Promise<void> {
  const client = connectDaemon(control);
  const number = await deviceNumber(device, client);
  let status = await begin(client, number);
  const cancel = (): void => void client.cancelCopy(number).catch(() => undefined);
  process.on('SIGINT', cancel);
  const isShown = process.stderr.isTTY === true && json !== true;
  while (status.state === 'running') {
    if (isShown) process.stderr.write(`\r${barOf(status)}`);
    await sleep(LOOK_MS);
    status = await client.copyStatus(number).catch((error: unknown) => {
      throw isGone(error) ? daemonEnded(device, status.kind) : error;
    });
  }
  process.off('SIGINT', cancel);
  if (isShown) process.stderr.write(`\r${barOf(status)}\n`);
  if (json === true) printJson(status);
  const { state, errno, message, file, waitedMs } = status;
  if (state === 'failed') throw new CliError(errno ?? 'EIO', `${device}: ${message ?? 'the copy failed'}`);
  if (state === 'cancelled')
    throw new CliError('ECANCELED', `${device}: the copy was cancelled, nothing has changed`);
  if (json !== true) {
    print(`loop${number}: ${readableName(file)}; requests waited ${(waitedMs ?? 0).toFixed(1)} ms at most\n`);
  }
}

const isGone = (error: unknown): boolean =>
  ['ENOENT', 'ECONNREFUSED', 'ECONNRESET'].includes(errnoOf(error) ?? '');

const daemonEnded = (device: string, kind: string): CliError =>
  new CliError(
    'ECONNRESET',
    `${device}: the daemon ended during the ${kind}; "nbdloop status" of the next one tells which file the device has`,
  );

function barOf({ doneBytes, totalBytes, kind }: CopyAnswer): string {
  const share = totalBytes === 0 ? 1 : doneBytes / totalBytes;
  const full = Math.round(share * BAR_WIDTH);
  const bar = '#'.repeat(full) + '.'.repeat(BAR_WIDTH - full);
  return `${kind} [${bar}] ${String(Math.floor(share * 100)).padStart(3)} % of ${humanBytes(totalBytes)}`;
}

function bytesOf(text: string): number {
  try {
    return Number(parseSize(text));
  } catch {
    throw new InvalidArgumentError('It is not a number of bytes.');
  }
}
