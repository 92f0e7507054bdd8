/** nbdloop's commands: definitions for commander, from which --help, man page and completions are made too. */

import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Command, InvalidArgumentError, Option } from 'commander';
import type { AttachMethod, AttachRequest, RecoverRequest } from '../control/messages.js';
import { packageVersion } from '../version.js';
import { addMark, addPowerCut, addReplay } from './bench-commands.js';
import { installAgent } from './cluster-install.js';
import { addCopies } from './copy-commands.js';
import { type Common, daemonCommand, printJson } from './daemon-command.js';
import { connectDaemon, deviceNumber, shownName } from './device-name.js';
import { doctorText } from './doctor-text.js';
import { CliError } from './fail.js';
import { addFault, addLimit } from './fault-command.js';
import { lockdepDot, lockdepText } from './lockdep-text.js';
import { mountFile } from './mount.js';
import { planMount } from './mount-options.js';
import { makeMissingNodes } from './node.js';
import { addDelta, addSnapshot } from './overlay-commands.js';
import { print } from './print.js';
import {
  isUri,
  ownDevice,
  type RemoteFlags,
  refuseRemoteFlags,
  remoteEventText,
  remoteRequest,
  remotesText,
  splitUris,
} from './remote.js';
import { serve } from './serve.js';
import { daemonText, devicesText, eventText, hangingText, unrecoveredText } from './status.js';
import { topText } from './top.js';
import { openPage } from './web.js';

export function nbdloopProgram(): Command {
  const program = new Command('nbdloop')
    .description(
      'Serves files as block devices over NBD, and shows and attaches them. See nbdlosetup for losetup.',
    )
    .version(packageVersion(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .showSuggestionAfterError(false)
    // What follows the first file of `serve` belongs to nbdloopd, options and all.
    .enablePositionalOptions()
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'nbdloop: ')) });
  for (const add of [
    addServe,
    addAttach,
    addDetach,
    addRecover,
    addProbe,
    addCluster,
    addMount,
    addStatus,
    addEvents,
    addTop,
    addLockdep,
    addUri,
    addDelta,
    addSnapshot,
    addCopies,
    addWeb,
    addDoctor,
    addReload,
  ])
    add(program);
  addReplay(program);
  for (const add of [addFault, addLimit, addPowerCut, addMark])
    add((name, description) => daemonCommand(program, name, description));
  return program;
}

function addServe(program: Command): void {
  program
    .command('serve')
    .description('run a daemon in the foreground that serves these files; options of nbdloopd may follow')
    .helpOption('-h, --help', 'print this help')
    .argument('<file...>', 'files to bind, in order: loop0, loop1, ...')
    .allowUnknownOption()
    .passThroughOptions()
    .action((words: string[]) => serve(words));
}

function addAttach(program: Command): void {
  interface Options extends Common, RemoteFlags {
    readonly by?: AttachMethod;
  }
  daemonCommand(
    program,
    'attach',
    'attach a device of this daemon, or an export anywhere, to the kernel as /dev/nbdN, and print that',
  )
    .argument(
      '<device>',
      'loopN or the name of its export; or URI[,URI...], addresses of one export that are tried in turn',
    )
    .addOption(
      new Option('--by <method>', 'the way into the kernel; the best that works here unless named').choices([
        'nbd-client',
        'netlink',
      ]),
    )
    .option('--connections <n>', 'sockets between kernel and daemon, 1 to 16', wholeNumber)
    .option(
      '--timeout <seconds>',
      'a request that takes longer is sent again, three times; 0: never (default)',
      wholeNumber,
    )
    .option(
      '--dead-timeout <seconds>',
      'how long requests wait for a new daemon (30 unless told), or for the server of a URI (120)',
      wholeNumber,
    )
    .option('--read-only', 'URI: nobody may write')
    .option(
      '--tls-ca <file>',
      "nbds: authorities of the server's certificate; those of this machine unless told",
    )
    .option('--tls-cert <file>', 'nbds: our own certificate')
    .option('--tls-key <file>', 'nbds: its private key')
    .option('--tls-psk <file>', 'nbds: pre-shared keys, a user:hexkey a line')
    .option('--tls-user <name>', 'nbds: whose key; the first unless told')
    .option(
      '--tls-hostname <name>',
      "nbds: what the server's certificate must be for; the URI's host unless told",
    )
    .action(async (device: string, { control, by, ...options }: Options) => {
      const client = connectDaemon(control);
      const uris = isUri(device) ? splitUris(device) : [];
      const own = uris.length === 0 ? await deviceNumber(device, client) : await ownDevice(client, uris);
      if (own === undefined) {
        if (by === 'nbd-client')
          throw new CliError('EINVAL', '--by nbd-client is for devices of this daemon');
        const { node, number } = await client.attachRemote(remoteRequest(uris, options));
        if (node !== null) makeMissingNodes(node);
        print(`${node ?? `/dev/nbd${number}`}\n`);
        return;
      }
      refuseRemoteFlags(options);
      const { connections, timeout, deadTimeout } = options;
      const request: AttachRequest = {
        ...(by !== undefined && { by }),
        ...(connections !== undefined && { connections }),
        ...(timeout !== undefined && { timeout }),
        ...(deadTimeout !== undefined && { deadTimeout }),
      };
      const attached = await client.attach(own, request);
      if (attached.node !== null) makeMissingNodes(attached.node);
      print(`${shownName(attached)}\n`);
    });
}

function addDetach(program: Command): void {
  daemonCommand(program, 'detach', 'take a device out of the kernel; it stays bound and exported')
    .argument('<device>', 'loopN, /dev/nbdN or the name of its export; or the URI that was attached')
    .option('--force', 'also while it is in use: its users get I/O errors')
    .action(async (device: string, { control, force }: Common & { force?: true }) => {
      const client = connectDaemon(control);
      const options = { force: force ?? false };
      const uris = isUri(device) ? splitUris(device) : [];
      const remotes = await client.remotes();
      const number = remotes.find((remote) => remote.uris.some((uri) => uris.includes(uri)))?.number;
      if (number !== undefined) return client.detachRemote(number, options);
      const named = await deviceNumber(device, client);
      if (remotes.some((remote) => remote.number === named)) await client.detachRemote(named, options);
      else await client.detach(named, options);
    });
}

function addRecover(program: Command): void {
  daemonCommand(
    program,
    'recover',
    'bring back a device that the daemon could not bring back after a restart',
  )
    .argument('<device>', 'loopN, /dev/nbdN or the name of its export')
    .option('--file <file>', 'where the file is now')
    .option('--force', 'take another file than was meant, of the same size: you vouch for it')
    .action(async (device: string, { control, file, force }: Common & { file?: string; force?: true }) => {
      const request: RecoverRequest = {
        ...(file !== undefined && { file: resolve(file) }),
        ...(force === true && { force }),
      };
      const client = connectDaemon(control);
      print(`${shownName(await client.recover(await deviceNumber(device, client), request))}\n`);
    });
}

function addProbe(program: Command): void {
  daemonCommand(
    program,
    'probe',
    'read a block through the export of a device, and ask for the lock of its file; exit 1 where either fails',
  )
    .argument('<device>', 'loopN, /dev/nbdN or the name of its export')
    .action(async (device: string, { control }: Common) => {
      const client = connectDaemon(control);
      await client.probe(await deviceNumber(device, client));
    });
}

function addMount(program: Command): void {
  interface Options extends Common {
    readonly options?: string;
    readonly types?: string;
    readonly readOnly?: true;
  }
  daemonCommand(program, 'mount', 'mount a file, as mount -o loop does: umount clears everything')
    .argument('<file>', 'the image')
    .argument('<directory>', 'where to')
    .option('-o, --options <list>', "mount's options, and those of mount.nbdloop(8), which are the device's")
    .option('-t, --types <type>', 'type of the file system')
    .option('-r, --read-only', 'read-only, file and mount')
    .action(async (file: string, directory: string, { control, types, ...rest }: Options) => {
      const type = types === undefined ? {} : { type: types };
      const plan = planMount({ file, directory, ...type, ...rest });
      const client = connectDaemon(control ?? plan.control);
      process.exitCode = await mountFile('nbdloop', client, { plan, directory });
    });
}

function addStatus(program: Command): void {
  daemonCommand(program, 'status', 'show the daemon and its devices')
    .argument('[device]', 'only this one')
    .option('--json', 'print everything as JSON')
    .action(async (device: string | undefined, { control, json }: Common & { json?: true }) => {
      const client = connectDaemon(control);
      const unrecovered = await client.unrecovered();
      if (device !== undefined) {
        const number = await deviceNumber(device, client);
        const down = unrecovered.find((one) => one.number === number);
        if (down !== undefined) {
          if (json === true) printJson(down);
          else print(unrecoveredText([down]));
          return;
        }
        const remote = (await client.remotes()).find((one) => one.number === number);
        if (remote !== undefined) {
          if (json === true) printJson(remote);
          else print(remotesText([remote]));
          return;
        }
        const status = await client.device(number);
        if (json === true) printJson(status);
        else
          print(
            devicesText([status]) + hangingText([status]) + status.uris.map((uri) => `${uri}\n`).join(''),
          );
        return;
      }
      const [daemon, devices, remotes] = await Promise.all([
        client.daemon(),
        client.list(),
        client.remotes(),
      ]);
      if (json === true) printJson({ daemon, devices, unrecovered, remotes });
      else
        print(
          daemonText(daemon, new Date()) +
            devicesText(devices) +
            hangingText(devices) +
            unrecoveredText(unrecovered) +
            remotesText(remotes),
        );
    });
}

function addEvents(program: Command): void {
  daemonCommand(program, 'events', 'print changes of devices as they happen')
    .option('--json', 'one JSON object a line')
    .action(async ({ control, json }: Common & { json?: true }) => {
      for await (const event of connectDaemon(control).events()) {
        if (json === true) print(`${JSON.stringify(event)}\n`);
        else print(event.kind === 'remote' ? remoteEventText(event) : eventText(event));
      }
    });
}

function addTop(program: Command): void {
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

function addLockdep(program: Command): void {
  daemonCommand(program, 'lockdep', 'show lock classes, the order they were taken in, and every report')
    .addOption(new Option('--dot', 'print a graph for Graphviz').conflicts('json'))
    .option('--json', 'print everything as JSON')
    .action(async ({ control, dot, json }: Common & { dot?: true; json?: true }) => {
      const lockdep = await connectDaemon(control).lockdep();
      if (json === true) printJson(lockdep);
      else print(dot === true ? lockdepDot(lockdep) : lockdepText(lockdep));
    });
}

function addUri(program: Command): void {
  daemonCommand(program, 'uri', "print the NBD URI of a device's export")
    .argument('<device>', 'loopN, /dev/nbdN or the name of its export')
    .option('--all', 'every URI, one a line')
    .action(async (device: string, { control, all }: Common & { all?: true }) => {
      const client = connectDaemon(control);
      const { uris } = await client.device(await deviceNumber(device, client));
      print((all === true ? uris : uris.slice(0, 1)).map((uri) => `${uri}\n`).join(''));
    });
}

function addWeb(program: Command): void {
  daemonCommand(
    program,
    'web',
    'print the address of the page of a daemon that runs with --web, with its token',
  )
    .option('--open', 'open it in a browser')
    .option('--new-token', 'make a new token first: whoever has the page open is out')
    .action(async ({ control, open, newToken }: Common & { open?: true; newToken?: true }) => {
      const client = connectDaemon(control);
      const { url } = newToken === true ? await client.renewPageToken() : await client.page();
      print(`${url}\n`);
      if (open === true) await openPage(url);
    });
}

function addReload(program: Command): void {
  daemonCommand(
    program,
    'reload',
    'have the daemon read certificates, keys, permissions, limits and its --config file anew',
  ).action(async ({ control }: Common) => {
    await connectDaemon(control).reload();
  });
}

function addCluster(program: Command): void {
  const cluster = program
    .command('cluster')
    .description('what a Pacemaker cluster needs')
    .helpOption('-h, --help', 'print this help');
  cluster
    .command('install')
    .description(
      'install the resource agent ocf:nbdloop:device, and print its path; examples: docs/cluster.md',
    )
    .helpOption('-h, --help', 'print this help')
    .option('--root <dir>', 'where the directory of resource agents is', '/usr/lib/ocf')
    .action(({ root }: { root: string }) => print(`${installAgent(root)}\n`));
}

function addDoctor(program: Command): void {
  program
    .command('doctor')
    .description('look at what this machine, and the file systems of these files, have and lack for nbdloop')
    .helpOption('-h, --help', 'print this help')
    .argument('[file...]', 'files that are to be served')
    .option('--json', 'print everything as JSON')
    .action(async (files: string[], { json }: { json?: true }) => {
      // Its checks make system calls, which the other commands need not load.
      const { examine } = await import('../doctor/doctor.js');
      const findings = await examine(files);
      if (json === true) printJson(findings);
      else print(doctorText(findings));
      if (findings.some(({ verdict }) => verdict === 'bad')) process.exitCode = 1;
    });
}

function wholeNumber(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('It is not a whole number.');
  return Number(text);
}

function seconds(text: string): number {
  const value = Number(text);
  if (!(value >= 0.05 && value <= 86_400)) throw new InvalidArgumentError('It is not a number of seconds.');
  return value;
}
