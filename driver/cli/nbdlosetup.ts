#!/usr/bin/env -S -u NODE_OPTIONS -u NODE_EXTRA_CA_CERTS -u NODE_PATH -u NODE_V8_COVERAGE -u NODE_COMPILE_CACHE -u NODE_REDIRECT_WARNINGS -u NODE_ICU_DATA -u NODE_DEBUG -u OPENSSL_CONF node
/** losetup for devices that nbdloopd serves: its options, its output, its exit statuses. */

import { normalize } from 'node:path';
import { type ControlClient, ControlError, OpenMeantFile } from '../control/client.js';
import type { ConfigureRequest, DeviceStatus, MeantIdentity } from '../control/messages.js';
import { absolutePath, readableName } from '../file-name.js';
import { packageVersion } from '../version.js';
import { commandLine } from './arguments.js';
import { connectDaemon, deviceNumber, isLost, listedName, markedName, shownName } from './device-name.js';
import { CliError, printError, reasonOf, runProgram, sentenceOf } from './fail.js';
import { UsageError } from './getopt.js';
import { losetupHelp } from './losetup-help.js';
import { type Action, type Plan, planLosetup, type SetupPlan, type TablePlan } from './losetup-plan.js';
import { makeMissingNodes } from './node.js';
import { print } from './print.js';
import { formatTable } from './table.js';

const PROGRAM = 'nbdlosetup';
const SECTOR = 512;
/** Nodes of other NBD clients that are passed by before giving up. */
const ATTACH_ATTEMPTS = 16;
/** Why a device may be impossible to attach here, without anything being wrong. */
const NO_KERNEL: ReadonlySet<string> = new Set(['EPERM', 'EACCES', 'ENODEV', 'ENOENT', 'EOPNOTSUPP']);

type Of<A extends Action['act']> = Extract<Action, { act: A }>;

async function main(words: readonly string[]): Promise<number> {
  let plan: Plan;
  try {
    plan = planLosetup(words);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    process.stderr.write(`${PROGRAM}: ${error.message}\nTry '${PROGRAM} --help' for more information.\n`);
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
      process.stdout.write(`${PROGRAM} from nbdloop ${packageVersion()}\n`);
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

async function list(action: Of<'list'>, daemon: ControlClient): Promise<number> {
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

async function showOne(action: Of<'show-one'>, daemon: ControlClient): Promise<number> {
  const device = await daemon.device(deviceNumber(action.device));
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

async function create(plan: Plan, action: Of<'create'>, daemon: ControlClient): Promise<number> {
  using file = openMeant(action.file);
  const config = { ...file.fields, ...configOf(action.setup) };
  let device = await bind(action, config, daemon);
  if (plan.attach && device.node === null) device = await attach(device, { plan, action, config, daemon });
  if (action.show) print(`${shownName(device)}\n`);
  warnAboutSize(action, device, file.size);
  for (const warning of device.warnings) warn(action.file, warning);
  return 0;
}

function bind(action: Of<'create'>, config: ConfigureRequest, daemon: ControlClient): Promise<DeviceStatus> {
  const failure = `${action.file}: failed to set up loop device`;
  const wanted = action.noOverlap ? { ...config, noOverlap: true } : config;
  if (action.device === undefined) return explained(failure, () => daemon.find(wanted));
  const number = deviceNumber(action.device);
  return explained(failure, async () => {
    await daemon.add(number).catch(ignoreExisting);
    return daemon.configure(number, wanted);
  });
}

function ignoreExisting(error: unknown): void {
  if (!(error instanceof ControlError && error.errno === 'EEXIST')) throw error;
}

/** The file as it is here, links resolved. Whoever can't see it does not have it bound: what the daemon sees may be another. */
function openMeant(file: string): OpenMeantFile {
  // An empty name is no file, not this directory.
  if (file === '')
    throw new CliError('ENOENT', `${file}: failed to use backing file: No such file or directory`);
  try {
    return OpenMeantFile.open(absolutePath(file));
  } catch (error) {
    // As the daemon says it of a name that it can't open.
    throw new CliError('EBADF', `${file}: failed to set up loop device: ${reasonOf(error)}`);
  }
}

function configOf({ offset, sizeLimit, ...rest }: SetupPlan): Omit<ConfigureRequest, 'file'> {
  return {
    ...rest,
    ...(offset === undefined ? {} : { offset: String(offset) }),
    ...(sizeLimit === undefined ? {} : { sizeLimit: String(sizeLimit) }),
  };
}

interface Creation {
  readonly plan: Plan;
  readonly action: Of<'create'>;
  readonly config: ConfigureRequest;
  readonly daemon: ControlClient;
}

/**
 * Into the kernel where there is one to attach to. Where another NBD client was quicker to take /dev/nbdN, a device that
 * was found, not named, gives way to a new one. An attach that should work and fails takes the binding back.
 */
async function attach(first: DeviceStatus, creation: Creation): Promise<DeviceStatus> {
  const { plan, action, config, daemon } = creation;
  const givenUp: number[] = [];
  let device = first;
  try {
    for (let attempt = 1; ; attempt++) {
      try {
        const attached = await daemon.attach(device.number);
        if (attached.node !== null) makeMissingNodes(attached.node);
        return attached;
      } catch (error) {
        if (error instanceof ControlError && NO_KERNEL.has(error.errno)) {
          if (plan.verbose) printError(PROGRAM, new CliError(error.errno, `not attached: ${error.message}`));
          return device;
        }
        // With --nooverlap the binding may be somebody else's.
        if (action.noOverlap) throw error;
        await daemon.clear(device.number).catch(() => undefined);
        const isTaken = error instanceof ControlError && error.errno === 'EBUSY';
        if (!isTaken || action.device !== undefined || attempt === ATTACH_ATTEMPTS) throw error;
        givenUp.push(device.number);
      }
      const { number } = await daemon.add();
      device = await daemon.configure(number, config);
    }
  } finally {
    for (const number of givenUp) await daemon.remove(number).catch(() => undefined);
  }
}

/** `size`: bytes of the file; undefined where it is no regular one. */
function warnAboutSize(action: Of<'create'>, device: DeviceStatus, size: number | undefined): void {
  const { offset = 0n, sizeLimit = 0n } = action.setup;
  const available = size === undefined ? undefined : Math.max(0, size - Number(offset));
  const bytes = Math.min(
    available ?? Number.POSITIVE_INFINITY,
    Number(sizeLimit) || Number.POSITIVE_INFINITY,
  );
  if (bytes === Number.POSITIVE_INFINITY || (bytes % SECTOR === 0 && bytes > 0)) return;
  const rest = bytes - (bytes % SECTOR);
  const effect =
    rest === 0
      ? `it holds no whole sector of ${SECTOR} bytes, so ${device.name} is empty`
      : `its last ${bytes % SECTOR} bytes are less than a sector and are not served`;
  warn(action.file, effect);
}

const warn = (file: string, sentence: string): void =>
  void process.stderr.write(readableName(`${PROGRAM}: ${file}: Warning: ${sentence}.\n`));

const detach = (names: readonly string[], plan: Plan, daemon: ControlClient): Promise<number> =>
  eachOf(names, async (name, number) => {
    const { outcome } = await explained(`${name}: detach failed`, () =>
      lostTold(number, daemon, () => daemon.clear(number, { force: plan.force })),
    );
    if (plan.verbose && outcome === 'deferred') {
      process.stderr.write(`${PROGRAM}: ${name}: in use; its last close detaches it\n`);
    }
  });

const remove = (names: readonly string[], daemon: ControlClient): Promise<number> =>
  eachOf(names, (name, number) => explained(`${name}: remove failed`, () => daemon.remove(number)));

/** Goes on after a failure, as losetup does; the exit status tells. */
async function eachOf(
  names: readonly string[],
  operation: (name: string, number: number) => Promise<void>,
): Promise<number> {
  let failures = 0;
  for (const name of names) {
    const number = deviceNumber(name);
    try {
      await operation(name, number);
    } catch (error) {
      printError(PROGRAM, error);
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
  const number = deviceNumber(name);
  await explained(`${name}: ${failure}`, () => lostTold(number, daemon, () => operation(number)));
  return 0;
}

/** Tells what is not so any more that was: direct I/O which a block size has ended. */
async function adjust(action: Of<'adjust'>, daemon: ControlClient): Promise<number> {
  const number = deviceNumber(action.device);
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
  { device, blockSize, directIo }: Of<'adjust'>,
  daemon: ControlClient,
): Promise<void> {
  const direct = (on: boolean) =>
    change(daemon, device, 'set direct io failed', (number) => daemon.directIo(number, on));
  if (directIo === false) await direct(false);
  if (blockSize !== undefined) {
    await change(daemon, device, 'set logical block size failed', (number) =>
      daemon.blockSize(number, blockSize),
    );
  }
  if (directIo === true) await direct(true);
}

/** After a failure, says so when the device's node is missing in /dev: that may be why, as far as its users see it. */
async function lostTold<T>(number: number, daemon: ControlClient, operation: () => Promise<T>): Promise<T> {
  try {
    return await operation();
  } catch (error) {
    const device = await daemon.device(number).catch(() => undefined);
    if (device !== undefined && isLost(device)) {
      const sentence = `device node ${device.node} is lost. You may use mknod(1) to recover it.`;
      process.stderr.write(`${PROGRAM}: ${sentence}\n`);
    }
    throw error;
  }
}

/** Puts what was attempted before the daemon's sentence, as losetup does. */
async function explained<T>(attempt: string, operation: () => Promise<T>): Promise<T> {
  try {
    return await operation();
  } catch (error) {
    if (!(error instanceof ControlError)) throw error;
    throw new CliError(error.errno, `${attempt}: ${sentenceOf(error)}`);
  }
}

runProgram(PROGRAM, () => main(commandLine()));
