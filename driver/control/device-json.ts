/** Devices as the API tells of them. */

import type { ControlContext, ControlledDevice, LoopStatusFields } from './context.js';
import { readCounters } from './counters.js';
import type * as messages from './messages.js';
import { statusJson } from './status-json.js';

export const numbered = (number: number): messages.DeviceNumber => ({ number, name: `loop${number}` });

/** The device that a request names. Throws ENODEV. */
export const named = (context: ControlContext, request: { params: { number: string } }): ControlledDevice =>
  context.loops.device(Number(request.params.number));

/** Every device, by number. */
export async function describeAll(context: ControlContext): Promise<messages.DeviceStatus[]> {
  return Promise.all(context.loops.devices().map((device) => describe(context, device)));
}

export async function describe(
  context: ControlContext,
  device: ControlledDevice,
): Promise<messages.DeviceStatus> {
  return decorate(context, await device.describe());
}

/** Handles a request that changes the device it names: answers the new state. */
export const changed =
  <R extends { readonly params: { number: string } }>(
    context: ControlContext,
    change: (device: ControlledDevice, request: R) => Promise<unknown>,
  ) =>
  async (request: R): Promise<messages.DeviceStatus> => {
    const device = named(context, request);
    await change(device, request);
    return describe(context, device);
  };

/** Adds to a device's state what only the daemon knows. */
export function decorate(context: ControlContext, status: LoopStatusFields): messages.DeviceStatus {
  return {
    ...statusJson(status),
    node: context.attachments.node(status.number),
    limits: context.loops.device(status.number).loopLimits(),
    faults: context.loops.device(status.number).loopFaults().length,
    volatileCache: context.loops.device(status.number).volatileCache,
    writeLog: context.loops.device(status.number).writeLog,
    uris: [status.exportName, status.name].flatMap((name) => (name === null ? [] : context.uris(name))),
    counters: readCounters(context.loops.device(status.number).queue.shared),
  };
}

export async function boundDevices(context: ControlContext): Promise<LoopStatusFields[]> {
  const all = await Promise.all(context.loops.devices().map((device) => device.describe()));
  return all.filter((status) => status.state === 'bound');
}
