#!/usr/bin/env -S -u NODE_OPTIONS -u NODE_EXTRA_CA_CERTS -u NODE_PATH -u NODE_V8_COVERAGE -u NODE_COMPILE_CACHE -u NODE_REDIRECT_WARNINGS -u NODE_ICU_DATA -u NODE_DEBUG -u OPENSSL_CONF node --inspect-port=[::1%none]:9229
/** losetup for devices that nbdloopd serves: its options, its output, its exit statuses. */

import { normalize } from 'node:path';
import { type ControlClient, OpenMeantFile } from '../control/client.js';
import type { DeviceStatus, MeantIdentity } from '../control/messages.js';
import { absolutePath } from '../file-name.js';
import { packageVersion } from '../version.js';
import { commandLine } from './arguments.js';
import { connectDaemon, deviceNumber, listedName, markedName } from './device-name.js';
import { CliError, printError, runProgram } from './fail.js';
import { UsageError } from './getopt.js';
import { explained, LOSETUP, lostTold, warn } from './losetup-attempt.js';
import { create } from './losetup-create.js';
import { losetupHelp } from './losetup-help.js';
import { type ActionOf, type Plan, planLosetup, type TablePlan } from './losetup-plan.js';
import { print } from './print.js';
import { formatTable } from './table.js';

async function main(words: readonly string[]): Promise<number> {
  let plan: Plan;
  try {
    plan = planLosetup(words);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    process.stderr.write(`${LOSETUP}: ${error.message}\nTry '${LOSETUP} --help' for more information.\n`);
    return 1;
  }
  return run(plan, connectDaemon(plan.control));
}

/** Returns the exit status. */
async function run(plan: Plan, daemon: ControlClient): Promise<number> {
  const { action } = plan;
  switch (action.act) {
    case 'help':
      process.stdout.write(losetupHelp());
      return 0;
    case 'version':
      process.stdout.write(`${LOSETUP} from nbdloop ${packageVersion()}\n`);
      return 0;
    case 'list':
      return list(action, daemon);
    case 'show-one':
      return showOne(action, daemon);
    case 'find-free':
      process.stdout.write(`${(await daemon.free()).name}\n`);
      return 0;
    case 'create':
      return create(plan, action, daemon);
    case 'detach':
      return detach(action.devices, plan, daemon);
    case 'remove':
      return remove(action.devices, daemon);
    case 'detach-all':
      return detach((await boundDevices(daemon)).map(listedName), plan, daemon);
    case 'set-capacity':
      return change(daemon, action.device, 'set capacity failed', (number) =>
        daemon.capacity(number, { force: plan.force }),
      );
    case 'adjust':
      return adjust(action, daemon);
  }
}

async function boundDevices(daemon: ControlClient): Promise<DeviceStatus[]> {
  return (await daemon.list()).filter((device) => device.file !== null);
}

async function list(action: ActionOf<'list'>, daemon: ControlClient): Promise<number> {
  const serves = action.file === undefined ? () => true : servesFile(action.file, action.offset);
  printDevices((await boundDevices(daemon)).filter(serves), action.table);
  return 0;
}

/** As losetup's: known by device and inode while there is a file of this name, and only else by the name. */
function servesFile(file: string, offset: bigint | undefined): (device: DeviceStatus) => boolean {
  const path = normalize(absolutePath(file));
  const found = identityOf(absolutePath(file));
  return (device) => {
    if (offset !== undefined && BigInt(device.offset) !== offset) return false;
    if (found === undefined) return device.file === path;
    return device.backingInode === found.inode && device.backingDevice === found.device;
  };
}

function identityOf(path: string): MeantIdentity | undefined {
  try {
    using file = OpenMeantFile.open(path);
    return file.fields.identity;
  } catch {
    return undefined;
  }
}

async function showOne(action: ActionOf<'show-one'>, daemon: ControlClient): Promise<number> {
  const device = await daemon.device(await deviceNumber(action.device, daemon));
  if (action.table === undefined && device.file === null) {
    throw new CliError('ENXIO', `${listedName(device)}: no file is bound to it`);
  }
  printDevices([device], action.table);
  return 0;
}

function printDevices(devices: readonly DeviceStatus[], table: TablePlan | undefined): void {
  if (table === undefined) {
    print(devices.map(oldLine).join(''));
    return;
  }
  const rows = devices.map((device) => table.columns.map((column) => column.cell(device, table.format)));
  const { LC_ALL, LC_CTYPE, LANG } = process.env;
  const unicode = /utf-?8/i.test(LC_ALL || LC_CTYPE || LANG || '');
  print(formatTable(table.columns, rows, { ...table, title: 'loopdevices', unicode }));
}

/** losetup -a: `loop0: [st_dev]:inode (file), offset N, sizelimit N`. */
function oldLine(device: DeviceStatus): string {
  const inode = `[${String(device.backingDevice ?? 0).padStart(4, '0')}]:${device.backingInode ?? 0}`;
  const offset = device.offset === 0 ? '' : `, offset ${device.offset}`;
  const limit = device.sizeLimit === 0 ? '' : `, sizelimit ${device.sizeLimit}`;
  return `${markedName(device)}: ${inode} (${device.file})${offset}${limit}\n`;
}

const detach = (names: readonly string[], plan: Plan, daemon: ControlClient): Promise<number> =>
  eachOf(names, daemon, async (name, number) => {
    const { outcome } = await explained(`${name}: detach failed`, () =>
      lostTold(number, daemon, () => daemon.clear(number, { force: plan.force })),
    );
    if (plan.verbose && outcome === 'deferred') {
      process.stderr.write(`${LOSETUP}: ${name}: in use; its last close detaches it\n`);
    } else if (outcome === 'hanging') {
      process.stderr.write(
        `${LOSETUP}: ${name}: it hangs, and lets go of its file when its file system answers\n`,
      );
    }
  });

const remove = (names: readonly string[], daemon: ControlClient): Promise<number> =>
  eachOf(names, daemon, (name, number) => explained(`${name}: remove failed`, () => daemon.remove(number)));

/** Goes on after a failure, as losetup does; the exit status tells. */
async function eachOf(
  names: readonly string[],
  daemon: ControlClient,
  operation: (name: string, number: number) => Promise<void>,
): Promise<number> {
  let failures = 0;
  for (const name of names) {
    const number = await deviceNumber(name, daemon);
    try {
      await operation(name, number);
    } catch (error) {
      printError(LOSETUP, error);
      failures += 1;
    }
  }
  return failures === 0 ? 0 : 1;
}

async function change(
  daemon: ControlClient,
  name: string,
  failure: string,
  operation: (number: number) => Promise<unknown>,
): Promise<number> {
  const number = await deviceNumber(name, daemon);
  await explained(`${name}: ${failure}`, () => lostTold(number, daemon, () => operation(number)));
  return 0;
}

/** Tells what is not so any more that was: direct I/O which a block size has ended. */
async function adjust(action: ActionOf<'adjust'>, daemon: ControlClient): Promise<number> {
  const number = await deviceNumber(action.device, daemon);
  const before = await daemon.device(number).catch(() => undefined);
  await adjustOne(action, daemon);
  const { warnings } = await daemon.device(number);
  for (const warning of warnings) {
    if (before?.warnings.includes(warning) !== true) warn(action.device, warning);
  }
  return 0;
}

/** A block size is set while direct I/O is off, which accepts more of them. */
async function adjustOne(
  { device, blockSize, directIo, volatileCache, words }: ActionOf<'adjust'>,
  daemon: ControlClient,
): Promise<void> {
  if (words !== undefined) {
    await change(daemon, device, 'set name failed', (number) => daemon.settings(number, words));
  }
  const direct = (on: boolean) =>
    change(daemon, device, 'set direct io failed', (number) => daemon.directIo(number, on));
  if (directIo === false) await direct(false);
  if (blockSize !== undefined) {
    await change(daemon, device, 'set logical block size failed', (number) =>
      daemon.blockSize(number, blockSize),
    );
  }
  if (directIo === true) await direct(true);
  if (volatileCache !== undefined) {
    await change(daemon, device, 'set volatile cache failed', (number) =>
      daemon.volatileCache(number, volatileCache),
    );
  }
}

runProgram(LOSETUP, () => main(commandLine()));
