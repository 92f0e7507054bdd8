/** nbdloop's commands that bring devices into the kernel, and take them out. */

import { type Command, Option } from 'commander';
import type { AttachMethod, AttachRequest } from '../control/messages.js';
import { type Common, daemonCommand } from './daemon-command.js';
import { connectDaemon, deviceNumber, shownName } from './device-name.js';
import { CliError } from './fail.js';
import { mountFile } from './mount.js';
import { planMount } from './mount-options.js';
import { makeMissingNodes } from './node.js';
import { wholeNumber } from './option-values.js';
import { print } from './print.js';
import { isUri, ownDevice, type RemoteFlags, refuseRemoteFlags, remoteRequest, splitUris } from './remote.js';

export function addAttach(program: Command): void {
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

export function addDetach(program: Command): void {
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

export function addMount(program: Command): void {
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
