/** nbdlosetup FILE: binds a file to a device, attaches that, and warns of what is odd. */

import { type ControlClient, ControlError, OpenMeantFile } from '../control/client.js';
import type { ConfigureRequest, DeviceStatus } from '../control/messages.js';
import { absolutePath } from '../file-name.js';
import { deviceNumber, shownName } from './device-name.js';
import { CliError, printError, reasonOf } from './fail.js';
import { explained, LOSETUP, warn } from './losetup-attempt.js';
import type { ActionOf, Plan } from './losetup-plan.js';
import type { SetupPlan } from './losetup-setup.js';
import { makeMissingNodes } from './node.js';
import { print } from './print.js';

const SECTOR = 512;
/** Nodes of other NBD clients that are passed by before giving up. */
const ATTACH_ATTEMPTS = 16;
/** Why a device may be impossible to attach here, without anything being wrong. */
const NO_KERNEL: ReadonlySet<string> = new Set(['EPERM', 'EACCES', 'ENODEV', 'ENOENT', 'EOPNOTSUPP']);

/** Returns the exit status. */
export async function create(plan: Plan, action: ActionOf<'create'>, daemon: ControlClient): Promise<number> {
  using file = openMeant(action.file);
  const config = { ...file.fields, ...configOf(action.setup) };
  let device = await bind(action, config, daemon);
  if (plan.attach && device.node === null) device = await attach(device, { plan, action, config, daemon });
  if (action.show) print(`${shownName(device)}\n`);
  warnAboutSize(action, device, file.size);
  for (const warning of device.warnings) warn(action.file, warning);
  return 0;
}

async function bind(
  action: ActionOf<'create'>,
  config: ConfigureRequest,
  daemon: ControlClient,
): Promise<DeviceStatus> {
  const failure = `${action.file}: failed to set up loop device`;
  const wanted = action.noOverlap ? { ...config, noOverlap: true } : config;
  if (action.device === undefined) return explained(failure, () => daemon.find(wanted));
  const number = await deviceNumber(action.device, daemon);
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
  readonly action: ActionOf<'create'>;
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
          if (plan.verbose) printError(LOSETUP, new CliError(error.errno, `not attached: ${error.message}`));
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
function warnAboutSize(action: ActionOf<'create'>, device: DeviceStatus, size: number | undefined): void {
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
