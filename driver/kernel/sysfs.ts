/** What the kernel tells about /dev/nbdN, and who uses it. Reads only, never opens the node. */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { readdir, readFile, readlink, writeFile } from 'node:fs/promises';

export const nodePath = (device: number): string => `/dev/nbd${device}`;
const sysPath = (device: number): string => `/sys/block/nbd${device}`;

/** True while a connection is configured: the only sign that holds also for a device that is merely open. */
export const isConnected = (device: number): boolean => existsSync(`${sysPath(device)}/pid`);

/** The backend identifier of a connected device; undefined when it has none. */
export function backendOf(device: number): string | undefined {
  try {
    return readFileSync(`${sysPath(device)}/backend`, 'utf8').trim();
  } catch {
    return undefined;
  }
}

/**
 * Sets after how many milliseconds the block layer asks the driver what became of a request. Newer kernels (6.12) wait
 * until none is under way.
 */
export const setRequestTick = (device: number, milliseconds: number): Promise<void> =>
  writeFile(`${sysPath(device)}/queue/io_timeout`, String(milliseconds));

/** Every device of the driver. */
export const nbdDevices = (): number[] =>
  readdirSync('/sys/block').flatMap((name) => (/^nbd\d+$/.test(name) ? [Number(name.slice(3))] : []));

export const nodeExists = (device: number): boolean => existsSync(sysPath(device));

/**
 * Who uses the node or one of its partitions, besides the process `exceptPid`: a mount, a device built on it, swap,
 * or a process that has it open (those of other users only where we may look).
 */
export async function usersOf(device: number, exceptPid: number): Promise<string[]> {
  const names = [`nbd${device}`, ...(await partitionsOf(device))];
  const [lasting, processes] = await Promise.all([lastingUsersOf(device), openersOf(names, exceptPid)]);
  return [...lasting, ...processes];
}

/** Those of them that are no passing visitors, as udev, blkid or mkfs are: mounts, devices built on it, swap. */
export async function lastingUsersOf(device: number): Promise<string[]> {
  const names = [`nbd${device}`, ...(await partitionsOf(device))];
  const [mounts, fileSystems, holders, swaps] = await Promise.all([
    mountsOf(names),
    fileSystemsOn(names),
    holdersOf(device, names),
    swapsOf(names),
  ]);
  return [...(mounts.length > 0 ? mounts : fileSystems), ...holders, ...swaps];
}

/** File systems that show themselves in sysfs: also those that are mounted in another mount namespace only. */
async function fileSystemsOn(names: readonly string[]): Promise<string[]> {
  const types = await readdir('/sys/fs').catch(() => []);
  return types.flatMap((type) =>
    names
      .filter((name) => existsSync(`/sys/fs/${type}/${name}`))
      .map((name) => `${name} is mounted as ${type}`),
  );
}

/** True while anything but this process uses the node or one of its partitions. */
export const inUse = async (device: number): Promise<boolean> =>
  (await usersOf(device, process.pid)).length > 0;

async function partitionsOf(device: number): Promise<string[]> {
  const entries = await readdir(sysPath(device)).catch(() => []);
  return entries.filter((entry) => entry.startsWith(`nbd${device}p`));
}

/** mountinfo's third field is the device number of the file system. */
async function mountsOf(names: readonly string[]): Promise<string[]> {
  const numbers = new Set(await Promise.all(names.map(deviceNumberOf)));
  const lines = (await readText('/proc/self/mountinfo')).split('\n').map((line) => line.split(' '));
  return lines
    .filter(([, , number]) => number !== undefined && number !== '' && numbers.has(number))
    .map(([, , , , target]) => `mounted on ${target}`);
}

const deviceNumberOf = async (name: string): Promise<string> =>
  (await readText(`/sys/class/block/${name}/dev`)).trim();

async function holdersOf(device: number, names: readonly string[]): Promise<string[]> {
  const places = names.map((name) =>
    name === `nbd${device}` ? `${sysPath(device)}/holders` : `${sysPath(device)}/${name}/holders`,
  );
  const lists = await Promise.all(places.map((place) => readdir(place).catch(() => [])));
  return lists.flat().map((holder) => `part of ${holder}`);
}

async function swapsOf(names: readonly string[]): Promise<string[]> {
  const lines = (await readText('/proc/swaps')).split('\n');
  return names
    .filter((name) => lines.some((line) => line.startsWith(`/dev/${name} `)))
    .map(() => 'used as swap');
}

async function openersOf(names: readonly string[], exceptPid: number): Promise<string[]> {
  const nodes = new Set(names.map((name) => `/dev/${name}`));
  const processes = (await readdir('/proc')).filter(
    (entry) => /^\d+$/.test(entry) && Number(entry) !== exceptPid,
  );
  const found = await Promise.all(
    processes.map(async (pid) => ((await hasOpen(pid, nodes)) ? [`open in process ${pid}`] : [])),
  );
  return found.flat();
}

async function hasOpen(pid: string, nodes: ReadonlySet<string>): Promise<boolean> {
  // A process may end, or close, while it is looked at: then it uses nothing.
  const descriptors = await readdir(`/proc/${pid}/fd`).catch(() => []);
  const targets = await Promise.all(
    descriptors.map((fd) => readlink(`/proc/${pid}/fd/${fd}`).catch(() => '')),
  );
  return targets.some((target) => nodes.has(target));
}

const readText = (path: string): Promise<string> => readFile(path, 'utf8').catch(() => '');
