/** Completion for zsh, on its own _arguments. */

import type { OptionSpec } from '../../driver/cli/getopt.js';
import type { CommandDoc, Offers, OperandDoc, ProgramDoc } from './model.js';
import { columnNames, DEVICE_NAMES } from './offers.js';

export function zshCompletion(program: ProgramDoc): string {
  const devices = `_nbdloop_devices() {
  local -a devices
  devices=(\${(f)"$(${DEVICE_NAMES})"})
  compadd -a devices
}
`;
  const body = program.commands.length === 0 ? argumentsCall(program, '  ') : commandsBody(program);
  return `#compdef ${program.name}
# zsh completion for ${program.name}; made by packaging/generate
${devices}
_${program.name}() {
${body}
}
_${program.name} "$@"
`;
}

function commandsBody(program: ProgramDoc): string {
  const list = program.commands.map(({ name, summary }) => `    ${quoted(`${name}:${escaped(summary)}`)}`);
  const cases = program.commands.map(
    (command) => `    ${command.name})\n${argumentsCall(command, '      ')} ;;`,
  );
  const own = program.options.map((option) => `    ${optionArgument(option)} \\`);
  return `  local curcontext=$curcontext state line
  local -a commands
  commands=(
${list.join('\n')}
  )
  _arguments -C \\
${own.join('\n')}
    '1:command:->command' '*::argument:->argument'
  case $state in
    command) _describe command commands ;;
    argument) case $words[1] in
${cases.join('\n')}
    esac ;;
  esac`;
}

function argumentsCall(command: CommandDoc, indent: string): string {
  const words = [...command.options.map(optionArgument), ...operandArguments(command.operands)];
  return `${indent}_arguments -s -S \\\n${words.map((word) => `${indent}  ${word}`).join(' \\\n')}`;
}

function optionArgument({ long, short, argument, help }: OptionSpec): string {
  const description = `[${escaped(help)}]`;
  const value =
    argument === undefined
      ? ''
      : `${argument.optional === true ? '::' : ':'}${escaped(argument.name)}:${action(argument.completes)}`;
  const longName =
    argument === undefined ? `--${long}` : argument.optional === true ? `--${long}=-` : `--${long}=`;
  if (short === undefined) return quoted(`${longName}${description}${value}`);
  const shortName = argument === undefined ? `-${short}` : `-${short}+`;
  return `${quoted(`(-${short} --${long})`)}{${shortName},${longName}}${quoted(`${description}${value}`)}`;
}

function operandArguments(operands: readonly OperandDoc[]): string[] {
  const kinds = [...new Set(operands.map(({ offers }) => offers))];
  if (kinds.length > 1) return [quoted('*:device or file:{ _nbdloop_devices; _files }')];
  return operands.map(({ name, repeats, optional, offers }) =>
    quoted(`${repeats ? '*' : '1'}${optional && !repeats ? '::' : ':'}${escaped(name)}:${action(offers)}`),
  );
}

function action(offers: Offers): string {
  if (offers === undefined) return ' ';
  switch (offers) {
    case 'file':
      return '_files';
    case 'directory':
      return '_files -/';
    case 'device':
    case 'free-device':
      return '_nbdloop_devices';
    case 'column':
      return `_sequence compadd - ${columnNames()
        .map((name) => name.replaceAll(':', '\\:'))
        .join(' ')}`;
    default:
      return `(${offers.join(' ')})`;
  }
}

const quoted = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`;
/** Brackets end a description, colons a field. */
const escaped = (help: string): string => help.replace(/[[\]:\\]/g, '\\$&');
