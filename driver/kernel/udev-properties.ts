/**
 * What udev makes links of (packaging/udev): the properties that it finds out by itself of the kernel's loop devices. They
 * are written down before a device is attached, so that they are there when udev hears of it.
 */

import { mkdir, rm, writeFile } from 'node:fs/promises';
import { nameToBytes } from '../file-name.js';
import { diskName } from './sysfs.js';

/** The rules read them there. */
const DIRECTORY = '/run/nbdloop/udev';

export interface LinkedDevice {
  readonly backingInode: bigint | null;
  readonly backingDevice: bigint | null;
  readonly reference: string | null;
}

/** Lines of KEY=VALUE; empty where there is no file. */
export function udevProperties({ backingInode, backingDevice, reference }: LinkedDevice): string {
  if (backingInode === null || backingDevice === null) return '';
  const major = ((backingDevice >> 8n) & 0xfffn) | ((backingDevice >> 32n) & 0xfffff000n);
  const minor = (backingDevice & 0xffn) | ((backingDevice >> 12n) & 0xffffff00n);
  const lines = [`ID_LOOP_BACKING_DEVICE=${major}:${minor}`, `ID_LOOP_BACKING_INODE=${backingInode}`];
  if (reference !== null && reference !== '') {
    lines.push(`ID_LOOP_BACKING_FILENAME_ENC=${encoded(reference)}`);
  }
  return `${lines.join('\n')}\n`;
}

/** As blkid_encode_string does: letters, digits, some signs and UTF-8 stay, any other byte is \xNN. */
function encoded(name: string): string {
  return [...nameToBytes(name).toString('latin1')].map(kept(name)).join('');
}

function kept(name: string): (byte: string) => string {
  const isUtf8 = !/\p{Cs}/u.test(name);
  return (byte) => {
    const code = byte.charCodeAt(0);
    if (/[0-9A-Za-z#+\-.:=@_]/.test(byte) || (code >= 0x80 && isUtf8)) return byte;
    return `\\x${code.toString(16).padStart(2, '0')}`;
  };
}

/** Links are a convenience: what can't be written is not told, and there are none then (a daemon without rights). */
export async function writeUdevProperties(device: number, linked: LinkedDevice): Promise<void> {
  const text = udevProperties(linked);
  try {
    await mkdir(DIRECTORY, { recursive: true, mode: 0o755 });
    await writeFile(`${DIRECTORY}/${diskName(device)}`, text, 'latin1');
  } catch {
    // Nobody reads it, either.
  }
}

export const removeUdevProperties = (device: number): Promise<void> =>
  rm(`${DIRECTORY}/${diskName(device)}`, { force: true }).catch(() => undefined);
