/**
 * The node of an attached device in this tool's /dev: a kernel makes nodes in devtmpfs, which a container may not have.
 * What is missing is made.
 */

import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { CliError } from './fail.js';

/** 'block 43:16' of a device by its name in sysfs; undefined where sysfs does not show it. */
function numberOf(directory: string): readonly [major: number, minor: number] | undefined {
  try {
    const [major = Number.NaN, minor = Number.NaN] = readFileSync(`${directory}/dev`, 'latin1')
      .trim()
      .split(':')
      .map(Number);
    return [major, minor];
  } catch {
    return undefined;
  }
}

/** Makes `/dev/nbdN`, and the nodes of its partitions, unless they are there. Throws with the number of one that can't be. */
export function makeMissingNodes(node: string): void {
  const disk = node.slice(node.lastIndexOf('/') + 1);
  makeMissingNode(node, `/sys/block/${disk}`);
  for (const name of namesIn(`/sys/block/${disk}`)) {
    if (name.startsWith(`${disk}p`)) makeMissingNode(`/dev/${name}`, `/sys/block/${disk}/${name}`);
  }
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

function makeMissingNode(node: string, directory: string): void {
  const number = numberOf(directory);
  if (number === undefined) return;
  const [major, minor] = number;
  const found = statSync(node, { throwIfNoEntry: false });
  if (found?.isBlockDevice() === true && isNumber(found.rdev, major, minor)) return;
  const what = `block device ${major}:${minor}`;
  if (found !== undefined)
    throw new CliError('ENODEV', `${node} is not the ${what} here, which the kernel calls so`);
  const made = spawnSync('mknod', ['-m', '0660', node, 'b', String(major), String(minor)], {
    encoding: 'utf8',
  });
  // Somebody else may have made it meanwhile.
  if (made.status === 0 || statSync(node, { throwIfNoEntry: false }) !== undefined) return;
  const why = made.error?.message ?? made.stderr.trim();
  throw new CliError('ENODEV', `${node}, ${what}, is missing in this /dev and can not be made: ${why}`);
}

/** glibc's gnu_dev_major and gnu_dev_minor, for numbers below 2^53. */
function isNumber(rdev: number, major: number, minor: number): boolean {
  const [high, low] = [Math.floor(rdev / 2 ** 32), rdev % 2 ** 32];
  return (
    ((low >>> 8) & 0xfff) + Math.floor(high / 0x1000) * 0x1000 === major &&
    (low & 0xff) + ((low >>> 20) + (high & 0xfff) * 0x1000) * 0x100 === minor
  );
}
