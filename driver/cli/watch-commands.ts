/** nbdloop's commands that show what the daemon and its devices do. */

import { setTimeout as sleep } from 'node:timers/promises';
import { type Command, Option } from 'commander';
import type { ControlClient } from '../control/client.js';
import { type Common, daemonCommand, printJson } from './daemon-command.js';
import { connectDaemon, deviceNumber } from './device-name.js';
import { lockdepDot, lockdepText } from './lockdep-text.js';
import { seconds, wholeNumber } from './option-values.js';
import { print } from './print.js';
import { remoteEventText, remotesText, remoteText } from './remote.js';
import { daemonText, devicesText, eventText, hangingText, unrecoveredText } from './status.js';
import { topText } from './top.js';

export function addStatus(program: Command): void {
  daemonCommand(program, 'status', 'show the daemon and its devices')
    .argument('[device]', 'only this one')
    .option('--json', 'print everything as JSON')
    .action(async (device: string | undefined, { control, json }: Common & { json?: true }) => {
      const client = connectDaemon(control);
      const { value, text } = device === undefined ? await lookAtAll(client) : await lookAt(device, client);
      if (json === true) printJson(value);
      else print(text);
    });
}

/** What there is to show, as it came and for a person. */
interface Look {
  readonly value: unknown;
  readonly text: string;
}

async function lookAtAll(client: ControlClient): Promise<Look> {
  const [daemon, devices, unrecovered, remotes] = await Promise.all([
    client.daemon(),
    client.list(),
    client.unrecovered(),
    client.remotes(),
  ]);
  const text =
    daemonText(daemon, new Date()) +
    devicesText(devices) +
    hangingText(devices) +
    unrecoveredText(unrecovered) +
    remotesText(remotes);
  return { value: { daemon, devices, unrecovered, remotes }, text };
}

async function lookAt(device: string, client: ControlClient): Promise<Look> {
  const number = await deviceNumber(device, client);
  const down = (await client.unrecovered()).find((one) => one.number === number);
  if (down !== undefined) return { value: down, text: unrecoveredText([down]) };
  const remote = (await client.remotes()).find((one) => one.number === number);
  if (remote !== undefined) return { value: remote, text: remoteText(remote) };
  const status = await client.device(number);
  const uris = status.uris.map((uri) => `${uri}\n`).join('');
  return { value: status, text: devicesText([status]) + hangingText([status]) + uris };
}

export function addEvents(program: Command): void {
  daemonCommand(program, 'events', 'print changes of devices as they happen')
    .option('--json', 'one JSON object a line')
    .action(async ({ control, json }: Common & { json?: true }) => {
      for await (const event of connectDaemon(control).events()) {
        if (json === true) print(`${JSON.stringify(event)}\n`);
        else print(event.kind === 'remote' ? remoteEventText(event) : eventText(event));
      }
    });
}

export function addTop(program: Command): void {
  interface Options extends Common {
    readonly interval: number;
    readonly count?: number;
  }
  daemonCommand(program, 'top', 'show requests, bytes and latencies of each device a second')
    .option('-i, --interval <seconds>', 'time between two looks', seconds, 1)
    .option('-n, --count <times>', 'stop after this many looks', wholeNumber)
    .action(async ({ control, interval, count }: Options) => {
      const client = connectDaemon(control);
      let before = await client.list();
      let looked = performance.now();
      for (let look = 0; count === undefined || look < count; look++) {
        await sleep(interval * 1000);
        const after = await client.list();
        const now = performance.now();
        // A terminal is painted over; anything else gets one table after the other.
        const clear = process.stdout.isTTY ? '\u001b[H\u001b[2J' : '';
        print(`${clear}${topText(before, after, (now - looked) / 1000)}`);
        before = after;
        looked = now;
      }
    });
}

export function addLockdep(program: Command): void {
  daemonCommand(program, 'lockdep', 'show lock classes, the order they were taken in, and every report')
    .addOption(new Option('--dot', 'print a graph for Graphviz').conflicts('json'))
    .option('--json', 'print everything as JSON')
    .action(async ({ control, dot, json }: Common & { dot?: true; json?: true }) => {
      const lockdep = await connectDaemon(control).lockdep();
      if (json === true) printJson(lockdep);
      else print(dot === true ? lockdepDot(lockdep) : lockdepText(lockdep));
    });
}

export function addUri(program: Command): void {
  daemonCommand(program, 'uri', "print the NBD URI of a device's export")
    .argument('<device>', 'loopN, /dev/nbdN or the name of its export')
    .option('--all', 'every URI, one a line')
    .action(async (device: string, { control, all }: Common & { all?: true }) => {
      const client = connectDaemon(control);
      const { uris } = await client.device(await deviceNumber(device, client));
      print((all === true ? uris : uris.slice(0, 1)).map((uri) => `${uri}\n`).join(''));
    });
}
