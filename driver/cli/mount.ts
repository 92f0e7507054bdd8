/**
 * What `mount -o loop` does, for `nbdloop mount` and mount.nbdloop(8). The device is held open here from before it has
 * autoclear until it is mounted, so that no prober's close ends it, and umount, the last close, clears everything.
 */

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { type ControlClient, OpenMeantFile } from '../control/client.js';
import type { DeviceStatus } from '../control/messages.js';
import { readableName } from '../file-name.js';
import { CliError, errnoOf, reasonOf } from './fail.js';
import type { MountPlan } from './mount-options.js';
import { makeMissingNodes } from './node.js';
import { passNames } from './pass-name.js';

/** Returns mount's exit status; unless that is 0, nothing stays behind. `program`: whose warnings they are. */
export async function mountFile(
  program: string,
  client: ControlClient,
  { plan, directory }: { readonly plan: MountPlan; readonly directory: string },
): Promise<number> {
  using file = openMeant(plan.config.file);
  const { device, isOurs } = await attached(client, { ...plan, config: { ...plan.config, ...file.fields } });
  for (const warning of device.warnings) {
    process.stderr.write(`${program}: ${readableName(warning)}.\n`);
  }
  const { number } = device;
  let held: Awaited<ReturnType<typeof open>>;
  let node: string;
  try {
    node = nodeOf(device, plan.partition);
    held = await open(node, 'r');
  } catch (error) {
    if (isOurs) await client.clear(number).catch(() => undefined);
    throw error;
  }
  try {
    if (isOurs) await client.settings(number, { autoclear: true });
    using names = passNames([directory]);
    return await runProgram('mount', [...plan.mountArguments, node, ...names.words], names.descriptors);
  } finally {
    await held.close();
  }
}

/** ENODEV where it has none; ENXIO where it lacks the partition. */
function nodeOf({ name, node }: DeviceStatus, partition: number | undefined): string {
  if (node === null) throw new CliError('ENODEV', `${name}: it is not attached to the kernel`);
  makeMissingNodes(node);
  if (partition === undefined) return node;
  const part = `${node}p${partition}`;
  if (!existsSync(part)) throw new CliError('ENXIO', `${name}: it has no partition ${partition}`);
  return part;
}

function openMeant(file: string): OpenMeantFile {
  try {
    return OpenMeantFile.open(file);
  } catch (error) {
    throw new CliError(errnoOf(error) ?? 'EIO', `${file}: ${reasonOf(error)}`);
  }
}

/**
 * A device that serves the file and is in the kernel; when it can't be had there, none is left. As with mount(8), one that
 * serves exactly this range already is used again, and is not ours to clear.
 */
async function attached(
  client: ControlClient,
  { config, attach }: MountPlan,
): Promise<{ readonly device: DeviceStatus; readonly isOurs: boolean }> {
  const before = new Set((await client.list()).map(({ uuid }) => uuid));
  const found = await client.find({ ...config, noOverlap: true });
  const isOurs = !before.has(found.uuid);
  if (found.node !== null) return { device: found, isOurs };
  try {
    return { device: await client.attach(found.number, attach), isOurs };
  } catch (error) {
    if (isOurs) await client.clear(found.number).catch(() => undefined);
    throw error;
  }
}

/** Its exit status; 1 where a signal ended it. */
export function runProgram(
  program: string,
  words: readonly string[],
  descriptors: readonly number[] = [],
): Promise<number> {
  return new Promise((settle, reject) => {
    const child = spawn(program, words, { stdio: ['inherit', 'inherit', 'inherit', ...descriptors] });
    child.once('error', () => reject(new CliError('ENOENT', `${program}(8) is not installed`)));
    child.once('exit', (status) => settle(status ?? 1));
  });
}
