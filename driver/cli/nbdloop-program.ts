/** nbdloop's commands: definitions for commander, from which --help, man page and completions are made too. */

import { resolve } from 'node:path';
import { Command } from 'commander';
import type { RecoverRequest } from '../control/messages.js';
import { packageVersion } from '../version.js';
import { addAttach, addDetach, addMount } from './attach-commands.js';
import { addMark, addPowerCut, addReplay } from './bench-commands.js';
import { installAgent } from './cluster-install.js';
import { addCopies } from './copy-commands.js';
import { type Common, daemonCommand, printJson } from './daemon-command.js';
import { connectDaemon, deviceNumber, shownName } from './device-name.js';
import { doctorText } from './doctor-text.js';
import { addFault, addLimit } from './fault-command.js';
import { addDelta, addSnapshot } from './overlay-commands.js';
import { print } from './print.js';
import { serve } from './serve.js';
import { addEvents, addLockdep, addStatus, addTop, addUri } from './watch-commands.js';
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
