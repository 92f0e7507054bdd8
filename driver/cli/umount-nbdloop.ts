#!/usr/bin/env -S -u NODE_OPTIONS -u NODE_EXTRA_CA_CERTS -u NODE_PATH -u NODE_V8_COVERAGE -u NODE_COMPILE_CACHE -u NODE_REDIRECT_WARNINGS -u NODE_ICU_DATA -u NODE_DEBUG -u OPENSSL_CONF node --inspect-port=[::1%none]:9229
/** umount.nbdloop(8): umount(8), and then the wait until the device has let go of its file. */

import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DeviceStatus } from '../control/messages.js';
import { commandLine } from './arguments.js';
import { connectDaemon } from './device-name.js';
import { runProgram as runMain } from './fail.js';
import { type GivenOption, getopt, UsageError } from './getopt.js';
import { runProgram } from './mount.js';
import { type HelperOption, MOUNT_HELPER_OPTIONS, mountHelperHelp } from './mount-helper-options.js';
import { mountsOf } from './mounts.js';

const PROGRAM = 'umount.nbdloop';
const WRONG_USE = 1;
/** The last close is on its way to the daemon, which waits for what it has to write: so long it is waited for. */
const LET_GO_MS = 10_000;
const LOOK_MS = 20;

async function main(words: readonly string[]): Promise<number> {
  let parsed: { options: readonly GivenOption<HelperOption>[]; operands: readonly string[] };
  try {
    parsed = getopt<HelperOption>(words, MOUNT_HELPER_OPTIONS.umount, ['help']);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    process.stderr.write(`${PROGRAM}: ${error.message}\nTry '${PROGRAM} --help' for more information.\n`);
    return WRONG_USE;
  }
  const { options, operands } = parsed;
  const has = (name: string): boolean => options.some(({ spec }) => spec.long === name);
  const [target] = operands;
  if (has('help')) {
    process.stdout.write(mountHelperHelp('umount'));
    return 0;
  }
  if (target === undefined || operands.length > 1) {
    process.stderr.write(`${PROGRAM}: a directory or a device is needed\n`);
    return WRONG_USE;
  }
  const device = await deviceOf(target);
  // Without this program again: -i.
  const passed = options.filter(({ spec }) => spec.long !== 'types').flatMap(wordsOf);
  const status = await runProgram('umount', ['-i', ...passed, target]);
  if (status === 0 && device?.autoclear === true && !has('lazy')) await letGo(device);
  return status;
}

const wordsOf = ({ spec, value }: GivenOption<HelperOption>): string[] =>
  value === undefined ? [`-${spec.short}`] : [`-${spec.short}`, value];

/** The device that is mounted there; undefined where it is none of ours, or nobody can be asked. */
async function deviceOf(target: string): Promise<DeviceStatus | undefined> {
  const path = resolve(target);
  const mount = mounts().findLast(({ target: where, source }) => where === path || source === path);
  const number = /^\/dev\/nbd(\d+)(?:p\d+)?$/.exec(mount?.source ?? '')?.[1];
  if (number === undefined) return undefined;
  return connectDaemon(undefined)
    .device(Number(number))
    .catch(() => undefined);
}

const mounts = () => mountsOf(readFileSync('/proc/self/mountinfo', 'latin1'));

/** Not while it is mounted elsewhere. What can't be asked is not waited for: the file system is unmounted. */
async function letGo({ number, uuid }: DeviceStatus): Promise<void> {
  const client = connectDaemon(undefined);
  const node = new RegExp(`^/dev/nbd${number}(p\\d+)?$`);
  const deadline = Date.now() + LET_GO_MS;
  while (Date.now() < deadline && !mounts().some(({ source }) => node.test(source))) {
    const device = await client.device(number).catch(() => undefined);
    if (device === undefined || hasLetGo(device, uuid)) return;
    await sleep(LOOK_MS);
  }
}

/** The kernel's side ends a moment after the daemon's. */
const hasLetGo = (device: DeviceStatus, uuid: string | null): boolean =>
  device.uuid !== uuid && (device.uuid !== null || device.node === null);

runMain(PROGRAM, () => main(commandLine()));
