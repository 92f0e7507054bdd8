/** nbdloopd's options: a definition for commander, from which --help, man page and completions are made too. */

import { Command, InvalidArgumentError, Option } from 'commander';
import { packageVersion } from '../version.js';
import type { ExclusiveFlag, Listen } from './daemon-flags.js';
import {
  between,
  type ListenAddress,
  listenAddress,
  payloadSize,
  permissions,
  webAddress,
} from './option-values.js';

const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'silent'];

export function nbdloopdProgram(): Command {
  return new Command('nbdloopd')
    .description(
      'Serves files as block devices over NBD, with the semantics of the Linux loop device. Without --device, ' +
        '--control and --state-dir it makes a sparse disk of 1 GiB in ./data and serves that.',
    )
    .version(packageVersion(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'nbdloopd: ')) })
    .option('--device <file>', 'bind this file at start; repeatable: loop0, loop1, ...', collect, [])
    .option(
      '--name <name>',
      "name of the export of the first --device beside loop0, of the second, ...; repeatable; '' is none",
      collect,
      [],
    )
    .option(
      '--description <text>',
      'what clients are told of the first --device, of the second, ...; repeatable',
      collect,
      [],
    )
    .option(
      '--default-export <name>',
      "what a client gets that names no export, loopN or a name; '' is none (default: the lowest bound device)",
    )
    .addOption(
      new Option('--listen <host:port>', 'listen for NBD over TCP; repeatable')
        .argParser(collectListen)
        .default(undefined, 'none'),
    )
    .addOption(
      new Option('--listen-ro <host:port>', 'the same for clients that may only read; repeatable')
        .argParser(collectAddress)
        .default([], 'none'),
    )
    .option('--unix <path>', 'listen for NBD on this Unix socket (default: nbd.sock in the run directory)')
    .option('--unix-mode <octal>', 'permissions of that socket (default: 600)', permissions)
    .option('--unix-group <group>', 'group of that socket, by name or number')
    .option('--control <path>', 'control socket (default: control.sock in the run directory)')
    .option('--state-dir <dir>', 'where the state for a restart is kept (default: beside the control socket)')
    .option(
      '--web <host:port>',
      'serve the page, which shows what the daemon does; without a host, to this machine alone',
      webAddress,
    )
    .option('--handover', 'when ended, leave every device attached for the next daemon')
    .option('--forget', 'when ended, forget all devices but those that the kernel has')
    .option(
      '--exclusive [wait=seconds]',
      'refuse a --device that another program has, and note on it who has it; with wait, another daemon may take so long to let go',
      exclusive,
    )
    .option(
      '--cluster',
      'other hosts may serve these files: --exclusive, direct I/O, the same identity everywhere, and down at any doubt; each --device needs a --name',
    )
    .option(
      '--reactors <n>',
      'threads that serve the connections of one file system (default: one for two processors, at least two of several)',
      between(1, 16),
    )
    .option(
      '--file-operations <n>',
      'operations on files of one file system at a time, such as binds: so many may hang before more are refused (default: 4)',
      between(1, 32),
    )
    .option(
      '--temporary',
      'leave the files of --device as they are: what is written is gone when the daemon ends',
    )
    .option('--keep-awake', 'keep idle processors awake while a lone client is busy: faster, and dearer')
    .option('--mlock', 'keep the program in memory once it was used, also where memory is short')
    .option('--max-connections <n>', 'connections at a time (default: 1024)', between(1, 65_536))
    .option(
      '--max-connections-per-peer <n>',
      'of those, from one TCP address (default: 512)',
      between(1, 65_536),
    )
    .option(
      '--handshake-timeout <seconds>',
      'a client that has not chosen an export by then is dropped (default: 10)',
      between(1, 3600),
    )
    .option(
      '--max-payload <size>',
      'bytes a read or write may carry, 1M to 32M in steps of 64K (default: 32M)',
      payloadSize,
    )
    .option('--max-name <bytes>', "bytes of an export's name (default: 4096)", between(1, 4096))
    .option('--max-option <bytes>', 'bytes of an option (default: 65536)', between(512, 1 << 20))
    .option('--max-options <n>', 'options before an export is chosen (default: 1024)', between(1, 65_536))
    .option('--allow <network>', 'serve only TCP clients in this network, CIDR; repeatable', collect, [])
    .option('--insecure', 'let other machines connect without TLS, whatever their address')
    .option('--tls-cert <file>', 'certificate chain of the server, PEM')
    .option('--tls-key <file>', 'its private key, PEM')
    .option('--tls-ca <file>', 'ask clients for a certificate of these authorities, PEM')
    .option('--tls-crl <file>', 'certificates that these authorities have revoked, PEM')
    .option('--tls-psk <file>', 'pre-shared keys, a line each: user:hexkey')
    .option('--tls-require', 'refuse clients that do not use TLS')
    .option(
      '--tls-allow <rule>',
      'who may use which export, EXPORT[:ro]=psk:USER, =dn:SUBJECT or =san:NAME; repeatable',
      collect,
      [],
    )
    .option('--drop-revoked', 'a reload ends sessions whose key or permission is gone')
    .option('--config <file>', 'more options, a line each without the dashes; a reload reads it anew')
    .addOption(
      new Option('--log-level <level>', 'least level that is logged').choices(LOG_LEVELS).default('info'),
    )
    .allowExcessArguments(false);
}

function exclusive(text: string | undefined): ExclusiveFlag {
  const [, seconds] = /^wait=(\d{1,5})$/.exec(text ?? 'wait=0') ?? [];
  if (seconds === undefined) throw new InvalidArgumentError('It is wait=SECONDS.');
  return { wait: Number(seconds) };
}

const collectAddress = (text: string, before: readonly ListenAddress[]): ListenAddress[] => [
  ...before,
  listenAddress(text),
];

const collect = (value: string, before: readonly string[]): string[] => [...before, value];

function collectListen(text: string, before: Listen | undefined): Listen {
  if (text === 'none') {
    if (before !== undefined) throw new InvalidArgumentError('It is "none" or an address, not both.');
    return 'none';
  }
  if (before === 'none') throw new InvalidArgumentError('It is "none" or an address, not both.');
  return [...(before ?? []), listenAddress(text)];
}
