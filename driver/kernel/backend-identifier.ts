/** The name under which the kernel keeps an attachment: /sys/block/nbdN/backend. */

/**
 * By this a restarted daemon knows its devices: /sys/block/nbdN/backend. The daemon's part tells its devices from those of
 * others, the binding's tells what is behind a device from what was there before.
 */
export const backendIdentifier = (daemonId: string, device: number, binding: string): string =>
  `${backendPrefix(daemonId, device)}${binding}`;

/** What identifiers of this daemon's device begin with, whatever its binding. */
export const backendPrefix = (daemonId: string, device: number): string =>
  `nbdloop:${daemonId}:loop${device}:`;
