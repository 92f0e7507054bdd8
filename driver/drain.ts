/** The end of a daemon: what is in flight is done, and devices are left to the next one, if there will be one. */

import type { Logger } from 'pino';
import type { NbdServer } from '../server/server.js';
import type { Claim } from './control/claim.js';
import type { ControlServer } from './control/server.js';
import { isMachineEnding } from './kernel/machine-end.js';
import type { KernelParts } from './kernel-parts.js';
import type { LoopControl } from './loop/loop-control.js';
import type { Reload } from './reload.js';
import type { Successor } from './state/successor.js';
import type { WebServer } from './web/web-server.js';

/** Clients' requests in flight have this long to finish in a handover, milliseconds, and as long again those of sessions that end here. */
const HANDOVER_DRAIN_MS = 300;
/** What a drain leaves behind has at least this long to end, milliseconds. */
const LEAST_WAIT_MS = 200;

/** What volatile caches hold is waited for so long, milliseconds. */
const CALM_MS = 2000;

/** What ends. */
export interface Draining {
  readonly server: NbdServer;
  readonly loops: LoopControl;
  readonly kernel: KernelParts | undefined;
  readonly control: ControlServer | undefined;
  readonly page: WebServer | undefined;
  readonly reload: Reload;
  readonly successor: Successor;
  readonly claims: readonly Claim[];
  readonly log: Logger;
  /** What no kernel has is forgotten. */
  readonly forget: boolean;
}

/**
 * Refuses new work, lets requests in flight finish, closes everything, within `timeoutMs`. In a handover devices stay as they
 * are; not where the machine goes down, since nobody would come to serve them.
 */
export async function drain(parts: Draining, timeoutMs: number): Promise<void> {
  const { server, kernel, reload, page, successor, log } = parts;
  reload.close();
  await page?.close();
  const machineEnds = !successor.hasAppeared && kernel !== undefined && (await isMachineEnding());
  const handover = successor.isExpected && !machineEnds;
  if (!handover) server.turnAway(); // devices may take their time to leave
  log.info({ connections: server.connections().length, handover, machineEnds }, 'draining');
  await calm(parts);
  if (handover && kernel !== undefined) await leaveEverything(parts, kernel, timeoutMs);
  else await end(parts, machineEnds ? 'cut' : 'stay', timeoutMs);
}

/** What hangs is released, and what volatile caches hold is durable; a file system that does not answer is not waited for. */
async function calm({ loops, log }: Draining): Promise<void> {
  const calming = loops
    .devices()
    .map((device) =>
      device
        .loopCalm()
        .catch((err: unknown) => log.error({ err, device: device.name }, 'a device could not be left clean')),
    );
  if (calming.length > 0)
    await within(
      CALM_MS,
      Promise.all(calming).then(() => undefined),
    );
}

async function leaveEverything(
  { server, claims }: Draining,
  kernel: KernelParts,
  timeoutMs: number,
): Promise<void> {
  // The kernel's requests wait until the process is gone, and with it the locks of state and files.
  await kernel.handOver(async () => {
    const atMost = Math.min(timeoutMs, HANDOVER_DRAIN_MS);
    const sessions = await server.part(atMost);
    if (server.connections().length > 0) await server.drain(atMost);
    return sessions;
  });
  for (const claim of claims) claim.release();
}

/** `inUse`: what becomes of devices that the kernel has and somebody uses. */
async function end(parts: Draining, inUse: 'stay' | 'cut', timeoutMs: number): Promise<void> {
  const { server, loops, kernel, control, claims, log, forget } = parts;
  await kernel?.leave({ forget, inUse }).catch((err: unknown) => {
    log.error({ err }, 'the next daemon finds the devices as they were');
  });
  const deadline = performance.now() + timeoutMs;
  await Promise.all([server.drain(timeoutMs), control?.close()]);
  // The last sessions may have left clears behind. Files are free, then the state is, for the daemon after this one.
  await within(Math.max(deadline - performance.now(), LEAST_WAIT_MS), loops.idle());
  const settled = loops.settle().catch((err: unknown) => {
    log.error({ err }, 'what overlays know is not all on disk: it is kept in the state for the next daemon');
  });
  await within(Math.max(deadline - performance.now(), LEAST_WAIT_MS), settled);
  await kernel?.close();
  for (const claim of claims) claim.release();
}

/** Waits for work, but no longer than `timeoutMs`. */
async function within(timeoutMs: number, work: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, timeoutMs);
  });
  await Promise.race([work, late]).finally(() => clearTimeout(timer));
}
