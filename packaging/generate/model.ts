/** What man pages and completions are made from: the programs' own option tables, in one shape. */

import type { Argument, Command, Option } from 'commander';
import type { Completion, OptionSpec } from '../../driver/cli/getopt.js';
import { LOSETUP_SYNOPSIS } from '../../driver/cli/losetup-help.js';
import { LOSETUP_OPTIONS } from '../../driver/cli/losetup-options.js';
import {
  MOUNT_HELPER_OPTIONS,
  MOUNT_HELPER_SUMMARY,
  MOUNT_HELPER_SYNOPSIS,
} from '../../driver/cli/mount-helper-options.js';
import { nbdloopProgram } from '../../driver/cli/nbdloop-program.js';
import { nbdloopdProgram } from '../../driver/cli/nbdloopd-program.js';

/** What a shell offers where nothing else is known: a number, a host. */
export type Offers = Completion | undefined;

export interface OperandDoc {
  readonly name: string;
  readonly optional: boolean;
  readonly repeats: boolean;
  readonly offers: Offers;
}

export interface CommandDoc {
  readonly name: string;
  readonly summary: string;
  /** Lines that begin with the program's name. */
  readonly synopsis: readonly string[];
  readonly options: readonly OptionSpec[];
  readonly operands: readonly OperandDoc[];
}

export interface ProgramDoc extends CommandDoc {
  readonly commands: readonly CommandDoc[];
}

/** What mount(8) and umount(8) start: nobody completes their words. */
export function helperDocs(): readonly ProgramDoc[] {
  return (['mount', 'umount'] as const).map((which) => ({
    name: `${which}.nbdloop`,
    summary: MOUNT_HELPER_SUMMARY[which],
    synopsis: MOUNT_HELPER_SYNOPSIS[which],
    options: MOUNT_HELPER_OPTIONS[which],
    operands: [],
    commands: [],
  }));
}

/** The three programs. */
export function programDocs(): readonly ProgramDoc[] {
  return [fromCommander(nbdloopdProgram()), losetupDoc(), fromCommander(nbdloopProgram())];
}

function losetupDoc(): ProgramDoc {
  return {
    name: 'nbdlosetup',
    summary: 'Binds files to loop devices that are served over NBD, and lists and frees them.',
    synopsis: LOSETUP_SYNOPSIS,
    options: LOSETUP_OPTIONS,
    operands: [
      { name: 'device', optional: true, repeats: true, offers: 'device' },
      { name: 'file', optional: true, repeats: false, offers: 'file' },
    ],
    commands: [],
  };
}

function fromCommander(program: Command): ProgramDoc {
  const commands = program.commands.map((command) =>
    commandDoc(command, `${program.name()} ${command.name()}`),
  );
  const own = commandDoc(program, program.name());
  const synopsis = commands.length > 0 ? commands.flatMap((command) => command.synopsis) : own.synopsis;
  return { ...own, synopsis, commands };
}

function commandDoc(command: Command, title: string): CommandDoc {
  const operands = command.registeredArguments.map(operandDoc);
  // commander knows its help option, but does not list it.
  const help: OptionSpec = { long: 'help', short: 'h', help: 'print this help' };
  return {
    name: command.name(),
    summary: sentence(command.description()),
    synopsis: [[title, '[options]', ...operands.map(operandUsage)].join(' ')],
    options: [...command.options.map(optionSpec), help],
    operands,
  };
}

function optionSpec(option: Option): OptionSpec {
  const {
    long,
    short,
    description,
    argChoices,
    required,
    optional,
    flags,
    defaultValue,
    defaultValueDescription,
  } = option;
  const value = /[<[](.+?)[>\]]/.exec(flags)?.[1];
  const fallback =
    defaultValueDescription ??
    (typeof defaultValue === 'string' || typeof defaultValue === 'number' ? defaultValue : undefined);
  const name = value ?? '';
  const offers = argChoices ?? offersFor(name);
  return {
    long: (long ?? '').replace(/^--/, ''),
    help: fallback === undefined ? description : `${description} (default: ${fallback})`,
    ...(short === undefined ? {} : { short: short.replace(/^-/, '') }),
    ...(required || optional
      ? { argument: { name, optional, ...(offers === undefined ? {} : { completes: offers }) } }
      : {}),
  };
}

function operandDoc(argument: Argument): OperandDoc {
  return {
    name: argument.name(),
    optional: !argument.required,
    repeats: argument.variadic,
    offers: offersFor(argument.name()),
  };
}

/** The names that this project's options use for their values. */
function offersFor(name: string): Offers {
  switch (name) {
    case 'file':
    case 'path':
    case 'socket':
      return 'file';
    case 'dir':
    case 'directory':
      return 'directory';
    case 'device':
      return 'device';
    default:
      return undefined;
  }
}

function operandUsage({ name, optional, repeats }: OperandDoc): string {
  const word = repeats ? `${name}...` : name;
  return optional ? `[${word}]` : word;
}

const sentence = (text: string): string => {
  const capital = text.charAt(0).toUpperCase() + text.slice(1);
  return capital.endsWith('.') ? capital : `${capital}.`;
};
