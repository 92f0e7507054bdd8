/** The options of nbdloopd as given: those of the command line, and those of the file that --config names. */

import { readFileSync } from 'node:fs';
import { type Command, CommanderError } from 'commander';
import { CliError, errnoOf } from './fail.js';
import type { ListenAddress } from './option-values.js';

/** The options as given; what is absent takes the daemon's defaults. */
export interface DaemonFlags {
  readonly device: readonly string[];
  /** Of the exports of these, in the same order; an empty one is none. */
  readonly name: readonly string[];
  readonly description: readonly string[];
  /** Empty: none. */
  readonly defaultExport?: string;
  readonly listen: readonly ListenAddress[];
  /** Listeners whose clients can only read. */
  readonly listenRo: readonly ListenAddress[];
  readonly unix?: string;
  readonly unixMode?: number;
  readonly unixGroup?: string;
  readonly control?: string;
  readonly stateDir?: string;
  readonly handover?: true;
  /** Where the page is served. */
  readonly web?: ListenAddress;
  readonly forget?: true;
  readonly exclusive?: ExclusiveFlag;
  readonly cluster?: true;
  readonly reactors?: number;
  readonly fileOperations?: number;
  readonly keepAwake?: true;
  readonly temporary?: true;
  readonly mlock?: true;
  readonly maxConnections?: number;
  readonly maxConnectionsPerPeer?: number;
  /** Seconds. */
  readonly handshakeTimeout?: number;
  /** Bytes. */
  readonly maxPayload?: number;
  readonly maxName?: number;
  readonly maxOption?: number;
  readonly maxOptions?: number;
  readonly allow: readonly string[];
  readonly insecure?: true;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly tlsCa?: string;
  readonly tlsPsk?: string;
  readonly tlsCrl?: string;
  readonly tlsRequire?: true;
  readonly tlsAllow: readonly string[];
  readonly dropRevoked?: true;
  /** More options, in a file. */
  readonly config?: string;
  readonly logLevel: string;
}

/** `wait`: seconds. */
export interface ExclusiveFlag {
  readonly wait: number;
}

export type Listen = readonly ListenAddress[] | 'none';

/** Options of the command line, which count before those of the file that --config names. */
export function daemonFlags(program: () => Command, words: readonly string[]): DaemonFlags {
  const flags = flagsOf(program(), words);
  return flags.config === undefined ? flags : flagsOf(program(), [...configWords(flags.config), ...words]);
}

/** The same once the daemon runs: what is wrong with the file is thrown. */
export function rereadFlags(program: () => Command, words: readonly string[]): DaemonFlags {
  const said: string[] = [];
  try {
    return daemonFlags(
      () =>
        program()
          .exitOverride()
          .configureOutput({ writeErr: (text) => said.push(text), outputError: (text) => said.push(text) }),
      words,
    );
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    throw new CliError(
      'EINVAL',
      said
        .join(' ')
        .trim()
        .replace(/^error: /, '') || error.message,
    );
  }
}

function flagsOf(program: Command, words: readonly string[]): DaemonFlags {
  const { listen, ...rest } = program
    .parse(words, { from: 'user' })
    .opts<Omit<DaemonFlags, 'listen'> & { listen?: Listen }>();
  refuseSpare(rest);
  return { ...rest, listen: listen === undefined || listen === 'none' ? [] : listen };
}

/** Each name and description is that of a device. */
function refuseSpare({
  device,
  name,
  description,
}: Pick<DaemonFlags, 'device' | 'name' | 'description'>): void {
  for (const [option, given] of [
    ['--name', name],
    ['--description', description],
  ] as const) {
    if (given.length > device.length) {
      throw new CliError('EINVAL', `there are more of ${option} than of the files that are to be served`);
    }
  }
}

/** `name value` a line, or a name alone; empty lines and those that begin with # count for nothing. */
function configWords(file: string): string[] {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new CliError(errnoOf(error) ?? 'EIO', `${file} cannot be read`);
  }
  return text.split('\n').flatMap((line) => {
    const [, name, value] = /^\s*([^\s#]\S*)(?:\s+(.*?))?\s*$/.exec(line) ?? [];
    if (name === undefined) return [];
    if (name === 'config') throw new CliError('EINVAL', `${file} names another file`);
    return value === undefined ? [`--${name}`] : [`--${name}=${value}`];
  });
}
