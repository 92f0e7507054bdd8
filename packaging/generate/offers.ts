/** What completions offer at run time, and fixed lists of words. */

import { LOSETUP_COLUMNS, OWN_COLUMNS } from '../../driver/cli/losetup-columns.js';

/** Prints the bound devices of the daemon, one a line; nothing where there is none. */
export const DEVICE_NAMES = 'nbdlosetup -n -l -O NAME 2>/dev/null';

export const columnNames = (): string[] => [...LOSETUP_COLUMNS, ...OWN_COLUMNS].map((column) => column.name);
