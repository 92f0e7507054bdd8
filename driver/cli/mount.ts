/**
 * `nbdloop mount FILE DIR`: what `mount -o loop` does. The device is held open here from before it has autoclear
 * until it is mounted, so that no prober's close ends it, and umount, the last close, clears everything.
 */

import { spawn } from 'node:child_process';
import { open } from 'node:fs/promises';
import { type ControlClient, OpenMeantFile } from '../control/client.js';
import type { ConfigureRequest, DeviceStatus } from '../control/messages.js';
import { absolutePath, readableName } from '../file-name.js';
import { CliError, errnoOf, reasonOf } from './fail.js';
import { makeMissingNodes } from './node.js';
import { passNames } from './pass-name.js';
import { parseSize } from './size.js';

export interface MountRequest {
  readonly file: string;
  readonly directory: string;
  /** As mount's -o, comma-separated. */
  readonly options?: string;
  readonly type?: string;
  readonly readOnly?: boolean;
}

export interface MountPlan {
  readonly config: ConfigureRequest;
  /** Arguments of mount(8) before the node. */
  readonly mountArguments: readonly string[];
}

/** Options that mean the loop device, not the file system: loop, offset and sizelimit. */
export function planMount({ file, options = '', type, readOnly = false }: MountRequest): MountPlan {
  const given = options.split(',').filter((option) => option !== '');
  const value = (name: string): string | undefined =>
    given.findLast((option) => option.startsWith(`${name}=`))?.slice(name.length + 1);
  const rest = given.filter((option) => !/^(loop|offset=.*|sizelimit=.*)$/.test(option));
  const isReadOnly = readOnly || rest.includes('ro');
  const [offset, sizeLimit] = [value('offset'), value('sizelimit')];
  return {
    config: {
      file: absolutePath(file),
      ...(offset === undefined ? {} : { offset: String(parseSize(offset)) }),
      ...(sizeLimit === undefined ? {} : { sizeLimit: String(parseSize(sizeLimit)) }),
      ...(isReadOnly ? { readOnly: true } : {}),
    },
    mountArguments: [
      ...(type === undefined ? [] : ['-t', type]),
      ...(readOnly ? ['-r'] : []),
      ...(rest.length === 0 ? [] : ['-o', rest.join(',')]),
    ],
  };
}

/** Returns mount's exit status; unless that is 0, nothing stays behind. */
export async function mountFile(client: ControlClient, request: MountRequest): Promise<number> {
  const { config, mountArguments } = planMount(request);
  using file = openMeant(config.file);
  const device = await attached(client, { ...config, ...file.fields });
  for (const warning of device.warnings) {
    process.stderr.write(`nbdloop: ${readableName(warning)}.\n`);
  }
  const { number, node } = device;
  if (node === null) throw new CliError('ENODEV', `${device.name}: it is not attached to the kernel`);
  let held: Awaited<ReturnType<typeof open>>;
  try {
    makeMissingNodes(node);
    held = await open(node, 'r');
  } catch (error) {
    await client.clear(number).catch(() => undefined);
    throw error;
  }
  try {
    await client.settings(number, { autoclear: true });
    using directory = passNames([request.directory]);
    return await runMount([...mountArguments, node, ...directory.words], directory.descriptors);
  } finally {
    await held.close();
  }
}

function openMeant(file: string): OpenMeantFile {
  try {
    return OpenMeantFile.open(file);
  } catch (error) {
    throw new CliError(errnoOf(error) ?? 'EIO', `${file}: ${reasonOf(error)}`);
  }
}

/** A device that serves the file and is in the kernel; when it can't be had there, none is left. */
async function attached(client: ControlClient, config: ConfigureRequest): Promise<DeviceStatus> {
  const { number } = await client.find(config);
  try {
    return await client.attach(number);
  } catch (error) {
    await client.clear(number).catch(() => undefined);
    throw error;
  }
}

function runMount(words: readonly string[], descriptors: readonly number[]): Promise<number> {
  return new Promise((settle, reject) => {
    const child = spawn('mount', words, { stdio: ['inherit', 'inherit', 'inherit', ...descriptors] });
    child.once('error', () => reject(new CliError('ENOENT', 'mount(8) is not installed')));
    child.once('exit', (status) => settle(status ?? 1));
  });
}
