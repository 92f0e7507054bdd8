/** Options of mount.nbdloop and umount.nbdloop: those that mount(8) and umount(8) hand to their helpers. */

import type { OptionSpec } from './getopt.js';
import { optionUsage } from './losetup-help.js';
import { MOUNT_OPTIONS } from './mount-options.js';

export type HelperOption = OptionSpec;

const TYPES = { long: 'types', short: 't', argument: { name: 'type' } } as const;
const NAMESPACE = {
  long: 'namespace',
  short: 'N',
  argument: { name: 'namespace' },
  help: 'in another mount namespace',
} as const;
const HELP = { long: 'help', short: 'h', help: 'print this help' } as const;

export const MOUNT_HELPER_OPTIONS = {
  mount: [
    { long: 'options', short: 'o', argument: { name: 'list' }, help: 'options, separated by commas' },
    { ...TYPES, help: 'nbdloop, or nbdloop.TYPE for a file system of that type' },
    { long: 'read-only', short: 'r', help: 'the same as -o ro' },
    { long: 'fake', short: 'f', help: 'look at the options, and mount nothing' },
    { long: 'no-mtab', short: 'n', help: 'handed to mount(8)' },
    { long: 'sloppy', short: 's', help: 'handed to mount(8)' },
    { long: 'verbose', short: 'v', help: 'handed to mount(8)' },
    NAMESPACE,
    HELP,
  ],
  umount: [
    { long: 'force', short: 'f', help: 'handed to umount(8)' },
    { long: 'lazy', short: 'l', help: 'handed to umount(8); the device is not waited for' },
    { long: 'no-mtab', short: 'n', help: 'handed to umount(8)' },
    { long: 'read-only', short: 'r', help: 'handed to umount(8)' },
    { long: 'verbose', short: 'v', help: 'handed to umount(8)' },
    { ...TYPES, help: 'counts for nothing' },
    NAMESPACE,
    HELP,
  ],
} as const satisfies Record<'mount' | 'umount', readonly OptionSpec[]>;

export const MOUNT_HELPER_SYNOPSIS = {
  mount: [
    'mount -t nbdloop [-o list] file directory',
    'mount.nbdloop file directory [-rfnsv] [-o list] [-t nbdloop.type]',
  ],
  umount: ['umount directory', 'umount.nbdloop directory [-flnrv]'],
} as const;

export const MOUNT_HELPER_SUMMARY = {
  mount: 'Mounts a file through a device of nbdloopd, and umount lets everything go.',
  umount: 'Unmounts such a file, and waits until its device has let go of it.',
} as const;

export function mountHelperHelp(which: 'mount' | 'umount'): string {
  const options = MOUNT_HELPER_OPTIONS[which].map(
    (option) => `  ${optionUsage(option).padEnd(31)} ${option.help}`,
  );
  const ours = Object.entries(MOUNT_OPTIONS).map(([name, help]) => `  ${name.padEnd(31)} ${help}`);
  return [
    'Usage:',
    ...MOUNT_HELPER_SYNOPSIS[which].map((line) => `  ${line}`),
    '',
    MOUNT_HELPER_SUMMARY[which],
    '',
    ...options,
    ...(which === 'mount' ? ['', 'In the list of -o; others go to mount(8):', ...ours] : []),
    '',
  ].join('\n');
}
