/** What nbdlosetup says of what it tried: losetup's words in front of the daemon's. */

import { type ControlClient, ControlError } from '../control/client.js';
import { readableName } from '../file-name.js';
import { isLost } from './device-name.js';
import { CliError, sentenceOf } from './fail.js';

export const LOSETUP = 'nbdlosetup';

export const warn = (file: string, sentence: string): void =>
  void process.stderr.write(readableName(`${LOSETUP}: ${file}: Warning: ${sentence}.\n`));

/** After a failure, says so when the device's node is missing in /dev: that may be why, as far as its users see it. */
export async function lostTold<T>(
  number: number,
  daemon: ControlClient,
  operation: () => Promise<T>,
): Promise<T> {
  try {
    return await operation();
  } catch (error) {
    const device = await daemon.device(number).catch(() => undefined);
    if (device !== undefined && isLost(device)) {
      const sentence = `device node ${device.node} is lost. You may use mknod(1) to recover it.`;
      process.stderr.write(`${LOSETUP}: ${sentence}\n`);
    }
    throw error;
  }
}

/** Puts what was attempted before the daemon's sentence, as losetup does. */
export async function explained<T>(attempt: string, operation: () => Promise<T>): Promise<T> {
  try {
    return await operation();
  } catch (error) {
    if (!(error instanceof ControlError)) throw error;
    throw new CliError(error.errno, `${attempt}: ${sentenceOf(error)}`);
  }
}
