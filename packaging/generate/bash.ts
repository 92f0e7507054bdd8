/** Completion for bash, without the help of the bash-completion package. */

import type { OptionSpec } from '../../driver/cli/getopt.js';
import type { CommandDoc, Offers, ProgramDoc } from './model.js';
import { columnNames, DEVICE_NAMES } from './offers.js';

export function bashCompletion(program: ProgramDoc): string {
  const name = `_${program.name}`;
  return `# bash completion for ${program.name}; made by packaging/generate
${name}() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} command='' word
  # bash splits --option=value into three words.
  if [[ $cur == '=' ]]; then cur=''; elif [[ $prev == '=' ]]; then prev=\${COMP_WORDS[COMP_CWORD-2]}; fi
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case $word in ${program.commands.map((command) => command.name).join('|') || "''"}) command=$word; break ;; esac
  done
  case $command:$prev in
${valueCases(program)}
  esac
  case $command in
${[...program.commands, program].map((command) => commandCase(command, program)).join('\n')}
  esac
}
complete -F ${name} ${program.name}
`;
}

/** What follows an option that takes a value. */
function valueCases(program: ProgramDoc): string {
  const scopes = [{ ...program, name: '' }, ...program.commands];
  return scopes
    .flatMap((scope) =>
      scope.options
        .filter(({ argument, words }) => words !== undefined || isNeeded(argument))
        .map(
          (option) =>
            `    ${patterns(scope.name, option)}) ${offer(option.words ?? option.argument?.completes)}; return ;;`,
        ),
    )
    .concat(
      scopes.flatMap((scope) =>
        scope.options
          .filter((option) => option.argument?.optional === true)
          .map(
            (option) =>
              `    ${scope.name}:--${option.long}) if [[ \${COMP_WORDS[COMP_CWORD]} == '=' || \${COMP_WORDS[COMP_CWORD-1]} == '=' ]]; then ${offer(option.argument?.completes)}; return; fi ;;`,
          ),
      ),
    )
    .join('\n');
}

const isNeeded = (argument: OptionSpec['argument']): boolean =>
  argument !== undefined && argument.optional !== true;

const patterns = (scope: string, { short, long }: OptionSpec): string =>
  [`${scope}:--${long}`, ...(short === undefined ? [] : [`${scope}:-${short}`])].join('|');

function commandCase(command: CommandDoc, program: ProgramDoc): string {
  const isProgram = command === program;
  const options = command.options.map((option) => `--${option.long}`).join(' ');
  const operands =
    program.commands.length > 0 && isProgram
      ? offer(program.commands.map(({ name }) => name))
      : operandOffers(command);
  return `    ${isProgram ? '*' : command.name}) if [[ $cur == -* ]]; then ${offer(options.split(' '))}; else ${operands}; fi ;;`;
}

function operandOffers({ operands }: CommandDoc): string {
  const kinds = new Set(operands.map(({ offers }) => offers));
  if (kinds.has('device') && kinds.has('file')) {
    return `compopt -o filenames; mapfile -t COMPREPLY < <(compgen -W "$(${DEVICE_NAMES})" -- "$cur"; compgen -f -- "$cur")`;
  }
  return offer([...kinds][0]);
}

/** A command that fills COMPREPLY. */
function offer(offers: Offers): string {
  if (offers === undefined) return 'COMPREPLY=()';
  switch (offers) {
    case 'file':
      return 'compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$cur")';
    case 'directory':
      return 'compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "$cur")';
    case 'device':
    case 'free-device':
      return `mapfile -t COMPREPLY < <(compgen -W "$(${DEVICE_NAMES})" -- "$cur")`;
    case 'column':
      return `mapfile -t COMPREPLY < <(compgen -W "${columnNames().join(' ')}" -- "$cur")`;
    default:
      return `mapfile -t COMPREPLY < <(compgen -W "${offers.join(' ')}" -- "$cur")`;
  }
}
