/** Partition nodes of an attached device. */

import { fileURLToPath } from 'node:url';
import { lastLine, runCommand } from './command.js';
import { nodePath } from './sysfs.js';

const RESCAN = fileURLToPath(new URL('./rescan.js', import.meta.url));
/** A scan reads a few blocks; it is killed after this, milliseconds. */
const RESCAN_TIMEOUT_MS = 60_000;

/** Has the kernel read the partition table again. Returns why it did not, or undefined. */
export async function rescanPartitions(device: number): Promise<string | undefined> {
  const { status, output } = await runCommand(
    process.execPath,
    [RESCAN, nodePath(device)],
    RESCAN_TIMEOUT_MS,
  );
  return status === 0 ? undefined : lastLine(output) || 'the scan took too long';
}
