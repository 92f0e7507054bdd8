/** Completion for fish. */

import type { OptionSpec } from '../../driver/cli/getopt.js';
import type { CommandDoc, Offers, ProgramDoc } from './model.js';
import { columnNames, DEVICE_NAMES } from './offers.js';

export function fishCompletion(program: ProgramDoc): string {
  const lines = [
    `# fish completion for ${program.name}; made by packaging/generate`,
    `complete -c ${program.name} -f`,
    ...(program.commands.length === 0
      ? scopeLines(program, program, '')
      : [
          ...program.options.map((option) => optionLine(program.name, option, '__fish_use_subcommand')),
          ...program.commands.flatMap((command) => [
            line(program.name, '__fish_use_subcommand', `-a ${command.name} -d ${quoted(command.summary)}`),
            ...scopeLines(program, command, `__fish_seen_subcommand_from ${command.name}`),
          ]),
        ]),
  ];
  return `${lines.join('\n')}\n`;
}

function scopeLines(program: ProgramDoc, command: CommandDoc, condition: string): string[] {
  return [
    ...command.options.map((option) => optionLine(program.name, option, condition)),
    ...new Set(command.operands.map(({ offers }) => line(program.name, condition, operand(offers)))),
  ];
}

function optionLine(program: string, { long, short, argument, help }: OptionSpec, condition: string): string {
  const names = `${short === undefined ? '' : `-s ${short} `}-l ${long}`;
  const value =
    argument === undefined
      ? ''
      : argument.optional === true
        ? ` ${optionalValue(argument.completes)}`
        : ` ${requiredValue(argument.completes)}`;
  return line(program, condition, `${names}${value} -d ${quoted(help)}`);
}

function line(program: string, condition: string, rest: string): string {
  return `complete -c ${program}${condition === '' ? '' : ` -n ${quoted(condition)}`} ${rest}`;
}

/** A value that must follow. */
function requiredValue(offers: Offers): string {
  if (offers === 'file' || offers === 'directory') return '-r -F';
  const words = wordsOf(offers);
  return words === undefined ? '-x' : `-x -a ${words}`;
}

/** A value only behind an equals sign. */
function optionalValue(offers: Offers): string {
  const words = wordsOf(offers);
  return words === undefined ? '' : `-a ${words}`;
}

const operand = (offers: Offers): string =>
  offers === 'file' || offers === 'directory' ? '-F' : `-a ${wordsOf(offers) ?? quoted('')}`;

function wordsOf(offers: Offers): string | undefined {
  if (offers === undefined || offers === 'file' || offers === 'directory') return undefined;
  if (offers === 'device' || offers === 'free-device') return quoted(`(${DEVICE_NAMES})`);
  return quoted((offers === 'column' ? columnNames() : offers).join(' '));
}

const quoted = (text: string): string => `'${text.replace(/['\\]/g, '\\$&')}'`;
