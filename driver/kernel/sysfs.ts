/** What the kernel tells about /dev/nbdN, and who uses it. Reads only, never opens the node. */

import { existsSync } from 'node:fs';
import { readdir, readFile, readlink } from 'node:fs/promises';

export const nodePath = (device: number): string => `/dev/nbd${device}`;
const sysPath = (device: number): string => `/sys/block/nbd${device}`;

/** True while a connection is configured: the only sign that holds also for a device that is merely open. */
export const isConnected = (device: number): boolean => existsSync(`${sysPath(device)}/pid`);

export const nodeExists = (device: number): boolean => existsSync(sysPath(device));

/**
 * Who uses the node or one of its partitions, besides the process `exceptPid`: a mount, a device built on it, swap,
 * or a process that has it open (those of other users only where we may look).
 */
export async function usersOf(device: number, exceptPid: number): Promise<string[]> {
  const names = [`nbd${device}`, ...(await partitionsOf(device))];
  const [mounts, holders, swaps, processes] = await Promise.all([
    mountsOf(names),
    holdersOf(device, names),
    swapsOf(names),
    openersOf(names, exceptPid),
  ]);
  return [...mounts, ...holders, ...swaps, ...processes];
}

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
