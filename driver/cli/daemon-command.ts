import type { Command } from 'commander';
import { print } from './print.js';

export interface Common {
  readonly control?: string;
}

/** A command that talks to the daemon. */
export function daemonCommand(program: Command, name: string, description: string): Command {
  return program
    .command(name)
    .description(description)
    .helpOption('-h, --help', 'print this help')
    .option('--control <socket>', 'control socket of the daemon');
}

export const printJson = (value: unknown): void => print(`${JSON.stringify(value, null, 2)}\n`);
