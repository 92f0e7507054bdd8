/** nbdlosetup --help, made from the option table. */

import type { OptionSpec } from './getopt.js';
import { LOSETUP_COLUMNS, OWN_COLUMNS } from './losetup-columns.js';
import { LOSETUP_OPTIONS, type LosetupOption } from './losetup-options.js';

const GROUPS: Readonly<Record<LosetupOption['group'], string>> = {
  commands: 'What to do',
  setup: 'How to bind a file',
  listing: 'How to list',
  nbdloop: 'Not in losetup',
  general: 'General',
};

export const LOSETUP_SYNOPSIS = [
  'nbdlosetup [-l] [device]',
  'nbdlosetup [options] -f | device  file',
  'nbdlosetup --overlay delta | --temporary  -f | device  file',
  'nbdlosetup -j file [-o bytes]',
  'nbdlosetup -d device... | -D',
  'nbdlosetup --remove device...',
  'nbdlosetup -c device',
  'nbdlosetup --name name device',
] as const;

export function losetupHelp(): string {
  const options = (Object.keys(GROUPS) as LosetupOption['group'][]).flatMap((group) => [
    '',
    `${GROUPS[group]}:`,
    ...LOSETUP_OPTIONS.filter((option) => option.group === group).map(
      (option) => `  ${optionUsage(option).padEnd(31)} ${option.help}`,
    ),
  ]);
  const columns = [...LOSETUP_COLUMNS, ...OWN_COLUMNS].map(
    ({ name, help }) => `  ${name.padEnd(31)} ${help}`,
  );
  return [
    'Usage:',
    ...LOSETUP_SYNOPSIS.map((line) => `  ${line}`),
    '',
    'Binds files to loop devices that are served over NBD, and lists and frees them.',
    'A device is named loopN, /dev/nbdN (while attached), or by its export: the name of that, or its NBD URI.',
    ...options,
    '',
    'Columns for --output:',
    ...columns,
    '',
    'Bytes may end in K, M, G, T, P, E (1024; KiB is the same) or KB, MB, ... (1000).',
    '',
  ].join('\n');
}

/** `-o, --offset <bytes>`. */
export function optionUsage({ short, long, argument }: OptionSpec): string {
  const value =
    argument === undefined
      ? ''
      : argument.optional === true
        ? `[=<${argument.name}>]`
        : ` <${argument.name}>`;
  return `${short === undefined ? '   ' : `-${short},`} --${long}${value}`;
}
