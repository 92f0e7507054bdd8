/** Operations that touch a device and the kernel that may be attached to it: detach, clear, resize. */

import { stat } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { LoopError } from '../errno.js';
import { type LimitsChange, limitsAnything } from '../store/limits/limits.js';
import type { ControlContext, ControlledDevice, LoopSettingsFields, LoopStatusFields } from './context.js';

/** How long a clear waits for the kernel's own session to end after a detach, milliseconds. */
const GOODBYE_MS = 2000;

/**
 * losetup -d, which is never refused for the sake of users: the kernel lets an attached device go when the last of them
 * closes it, and that clears the device; at once when there are none.
 * With `force` the file goes now and the kernel stays attached: its I/O gets EIO until the device is bound again. 'hanging':
 * it goes when requests that are under way end, which nobody waits for.
 */
export async function clearBacking(
  context: ControlContext,
  device: ControlledDevice,
  options: { force: boolean },
): Promise<'cleared' | 'deferred' | 'hanging'> {
  const { attachments } = context;
  if (options.force || attachments.node(device.number) === null) return device.loopClrFd(options);
  // The kernel's session is an opener, so this leaves the clear to its close.
  const outcome = await device.loopClrFd();
  if (!(await attachments.detachAtLastClose(device.number))) return outcome;
  await sessionsEnd(device);
  const { state } = await device.describe();
  return state === 'bound' ? 'deferred' : 'cleared';
}

/**
 * The detached kernel's session ends asynchronously, and so does the clear that its close causes, with the file
 * closed last. Other sessions may stay, and then the clear is deferred.
 */
async function sessionsEnd(device: ControlledDevice): Promise<void> {
  const deadline = Date.now() + GOODBYE_MS;
  while (Date.now() < deadline) {
    if ((await device.describe()).openers === 0) {
      await Promise.race([device.idle(), sleep(deadline - Date.now(), undefined, { ref: false })]);
      return;
    }
    await sleep(5);
  }
}

/** loopSetCapacity, and the kernel's. EBUSY when it would cut a device in use, unless `force`. */
export async function resize(
  context: ControlContext,
  device: ControlledDevice,
  options: { force: boolean },
): Promise<void> {
  const { attachments } = context;
  const attached = attachments.node(device.number) !== null;
  const before = await device.loopGetStatus();
  if (attached && !options.force && (await wouldShrink(before)) && (await attachments.inUse(device.number))) {
    throw new LoopError(
      'EBUSY',
      `${before.name}: ${before.file} shrank and ${attachments.node(device.number)} is in use ` +
        `(${await attachments.users(device.number)}); use force to cut it`,
    );
  }
  await device.loopSetCapacity();
  if (attached) await attachments.resized(device.number, (await device.describe()).size);
}

/** loopSetStatus, and what the kernel has to know of it: the size, the partitions, who ends the attachment. */
export async function changeSettings(
  { attachments }: ControlContext,
  device: ControlledDevice,
  settings: LoopSettingsFields,
): Promise<void> {
  const before = await device.loopGetStatus();
  if (movesContent(settings, before)) await refuseClaimed(attachments, device);
  await device.loopSetStatus(settings);
  const after = await device.describe();
  if (attachments.node(device.number) === null) return;
  if (after.size !== before.size) await attachments.resized(device.number, after.size);
  else if (after.offset !== before.offset || after.partscan !== before.partscan) {
    await attachments.contentChanged(device.number);
  }
  if (settings.autoclear !== undefined)
    await attachments.disconnectOnClose(device.number, settings.autoclear);
}

/** Limits, and what the kernel has to know of them: what waits for them is not lost, whatever its timeout says. */
export async function changeLimits(
  { attachments }: ControlContext,
  device: ControlledDevice,
  change: LimitsChange,
): Promise<void> {
  try {
    if (Object.values(change).some((limit) => limit !== null)) await attachments.limited(device.number, true);
    await device.loopSetLimits(change);
  } finally {
    await attachments.limited(device.number, limitsAnything(device.loopLimits()));
  }
}

/** loopSetBlockSize. EBUSY under a mount, or whoever else claims the node for itself: they count on what they have seen. */
export async function changeBlockSize(
  { attachments }: ControlContext,
  device: ControlledDevice,
  bytes: number,
): Promise<void> {
  const { blockSize } = await device.loopGetStatus();
  if (bytes !== blockSize) await refuseClaimed(attachments, device);
  await device.loopSetBlockSize(bytes);
}

const movesContent = (settings: LoopSettingsFields, { offset, sizeLimit }: LoopStatusFields): boolean =>
  (settings.offset !== undefined && BigInt(settings.offset) !== BigInt(offset)) ||
  (settings.sizeLimit !== undefined && BigInt(settings.sizeLimit) !== BigInt(sizeLimit));

/** As the kernel's loop driver from 6.17 on (and 6.19 for the status): EBUSY under an exclusive holder. */
async function refuseClaimed(
  attachments: ControlContext['attachments'],
  { number, name }: ControlledDevice,
): Promise<void> {
  const node = attachments.node(number);
  if (node === null || !(await attachments.isClaimed(number))) return;
  throw new LoopError('EBUSY', `${name}: ${node} is claimed (${await attachments.users(number)})`);
}

async function wouldShrink(status: LoopStatusFields): Promise<boolean> {
  const file = status.file === null ? undefined : await stat(status.file).catch(() => undefined);
  return file?.isFile() === true && file.size - Number(status.offset) < status.size;
}
