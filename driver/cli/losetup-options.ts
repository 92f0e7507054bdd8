/** nbdlosetup's options: the one table that parsing, --help, the man page and the completions are made from. */

import type { OptionSpec } from './getopt.js';

export interface LosetupOption extends OptionSpec {
  /** Heading under which it is documented. */
  readonly group: 'commands' | 'setup' | 'listing' | 'nbdloop' | 'general';
}

const RATES = [
  ['limit-iops', 'requests a second at most'],
  ['limit-iops-read', 'the same for reads'],
  ['limit-iops-write', 'the same for writes, trims and zeroing'],
  ['limit-bytes', 'bytes a second at most'],
  ['limit-bytes-read', 'the same for reads'],
  ['limit-bytes-write', 'the same for writes'],
  ['limit-burst', 'seconds: what was not used for so long may be used at once (default 0.1)'],
  ['limit-burst-read', "the same for reads' own limits"],
  ['limit-burst-write', "the same for writes' own limits"],
] as const;

export const LOSETUP_OPTIONS = [
  { group: 'commands', long: 'all', short: 'a', help: 'list every bound device, one line each' },
  {
    group: 'commands',
    long: 'set-capacity',
    short: 'c',
    words: 'device',
    help: 'take over the present size of the file of the device named',
  },
  {
    group: 'commands',
    long: 'detach',
    short: 'd',
    words: 'device',
    help: 'let go of the files of the devices named',
  },
  { group: 'commands', long: 'detach-all', short: 'D', help: 'let go of the files of all devices' },
  {
    group: 'commands',
    long: 'find',
    short: 'f',
    help: 'find a free device, and bind the file to it if one is given',
  },
  {
    group: 'commands',
    long: 'nooverlap',
    short: 'L',
    help: 'never serve the same range of a file twice',
  },
  {
    group: 'commands',
    long: 'associated',
    short: 'j',
    argument: { name: 'file', completes: 'file' },
    help: 'list the devices that serve this file',
  },
  {
    group: 'listing',
    long: 'list',
    short: 'l',
    help: 'print a table of all devices, or of the one given (the default)',
  },
  { group: 'listing', long: 'json', short: 'J', help: 'print the table as JSON' },
  { group: 'listing', long: 'noheadings', short: 'n', help: 'print the table without its first line' },
  {
    group: 'setup',
    long: 'offset',
    short: 'o',
    argument: { name: 'bytes' },
    help: 'start this far into the file',
  },
  {
    group: 'listing',
    long: 'output',
    short: 'O',
    argument: { name: 'columns', completes: 'column' },
    help: 'print these columns, separated by commas; +LIST adds them to the default',
  },
  { group: 'listing', long: 'output-all', help: 'print a table with every column' },
  {
    group: 'setup',
    long: 'sizelimit',
    argument: { name: 'bytes' },
    help: 'use at most this much of the file',
  },
  { group: 'setup', long: 'partscan', short: 'P', help: 'have the kernel look for partitions' },
  { group: 'setup', long: 'read-only', short: 'r', help: 'bind the file read-only' },
  {
    group: 'setup',
    long: 'direct-io',
    argument: { name: 'on|off', optional: true, completes: ['on', 'off'] },
    help: 'use the file past the page cache, or not; also for a device that is bound',
  },
  {
    group: 'setup',
    long: 'sector-size',
    short: 'b',
    argument: { name: 'bytes', completes: ['512', '1024', '2048', '4096'] },
    help: 'logical sector size, 512 to 4096; also for a device that is bound',
  },
  {
    group: 'setup',
    long: 'loop-ref',
    argument: { name: 'name' },
    help: 'a name of your own for it, up to 63 bytes, for /dev/disk/by-loop-ref',
  },
  { group: 'listing', long: 'raw', help: 'print the table with single blanks, for scripts' },
  { group: 'setup', long: 'show', help: 'print the device that was bound' },
  {
    group: 'commands',
    long: 'remove',
    words: 'device',
    help: 'remove the devices named, which have no file',
  },
  {
    group: 'nbdloop',
    long: 'name',
    whole: true,
    argument: { name: 'name' },
    help: "a name for the export beside loopN, also for a device that is bound; '' takes it away",
  },
  {
    group: 'nbdloop',
    long: 'description',
    whole: true,
    argument: { name: 'text' },
    help: 'what clients are told of the export, also for a device that is bound',
  },
  {
    group: 'nbdloop',
    long: 'overlay',
    argument: { name: 'delta', completes: 'file' },
    help: 'leave the file as it is: what is written goes into this delta, which is made if missing',
  },
  {
    group: 'nbdloop',
    long: 'temporary',
    help: 'the same with a delta that has no name, and is gone with the binding',
  },
  {
    group: 'nbdloop',
    long: 'exclusive',
    help: 'refuse a file that a virtual machine has open (qemu locks its images); else that is a warning',
  },
  ...RATES.map(
    ([long, help]) => ({ group: 'nbdloop', long, whole: true, argument: { name: 'number' }, help }) as const,
  ),
  {
    group: 'nbdloop',
    long: 'volatile-cache',
    whole: true,
    argument: { name: 'on|off', optional: true, completes: ['on', 'off'] },
    help: 'what is written is durable only once it is flushed (nbdloop power-cut); also for a device that is bound',
  },
  {
    group: 'nbdloop',
    long: 'log-writes',
    whole: true,
    argument: { name: 'file', completes: 'file' },
    help: 'log every write in this file, in the format of dm-log-writes (nbdloop replay)',
  },
  {
    group: 'nbdloop',
    long: 'faults',
    whole: true,
    argument: { name: 'file', completes: 'file' },
    help: 'fault rules from the beginning, as JSON (nbdloop fault --help)',
  },
  { group: 'nbdloop', long: 'no-attach', help: 'leave the kernel out: bind and export only' },
  {
    group: 'nbdloop',
    long: 'force',
    help: 'with --detach: now, also with clients connected; with -c: shrink in use; with --overlay: take a changed file',
  },
  {
    group: 'nbdloop',
    long: 'control',
    argument: { name: 'socket', completes: 'file' },
    help: 'control socket of the daemon',
  },
  { group: 'nbdloop', long: 'verbose', short: 'v', help: 'say on standard error what is done' },
  { group: 'general', long: 'help', short: 'h', help: 'print this help' },
  { group: 'general', long: 'version', short: 'V', help: 'print the version' },
] as const satisfies readonly LosetupOption[];

export type LosetupOptionName = (typeof LOSETUP_OPTIONS)[number]['long'];
