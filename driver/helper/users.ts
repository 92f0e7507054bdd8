/**
 * Who uses a disk, as far as /proc and /sys tell: only to word a message, never to decide anything. A user may be
 * missing here; whether there is one, the kernel tells (device-node.ts).
 */

import { type BigIntStats, statSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { type Disk, deviceNumber } from './device-node.js';
import { partitionsOf } from './partitions.js';
import { commandOf, type Deadline, linkOf, namesIn, openFiles, processes, textOf } from './processes.js';

/** So many are told. */
const ENOUGH = 3;

/** Device number, as `43:0`, to the name of the disk or of its partition. */
export type Names = ReadonlyMap<string, string>;

/** Phrases that end a sentence: 'nbd0p1 is open in process 12 (dd)'. Processes are looked through for `withinMs` at most;
 * empty when nobody was found. */
export async function usersOf({
  disk,
  except,
  withinMs,
}: Disk & { readonly except: readonly number[]; readonly withinMs: number }): Promise<string[]> {
  const names = await namesOf(disk);
  const users = new Set([
    ...mountsIn('self', names),
    ...btrfsOn(names),
    ...holdersOf(disk, names),
    ...loopsOn(names),
    ...swapsOn(names),
  ]);
  if (users.size === 0) {
    const deadline = performance.now() + withinMs;
    for await (const user of usersAmongProcesses(names, deadline, [...except, process.pid])) {
      users.add(user);
      if (users.size >= ENOUGH) break;
    }
  }
  return [...users].slice(0, ENOUGH);
}

/** Of the disk and of its partitions. */
export async function namesOf(disk: string): Promise<Names> {
  const partitions = await partitionsOf({ disk });
  // A partition of a disk whose name ends in a digit has a p in between.
  const all = [disk, ...partitions.map((number) => `${disk}${/\d$/.test(disk) ? 'p' : ''}${number}`)];
  return new Map(all.map((name) => [textOf(`/sys/class/block/${name}/dev`).trim(), name]));
}

/** mountinfo's third field is the device number of the file system, its fifth where it is mounted. */
function mountsIn(pid: string, names: Names): string[] {
  return textOf(`/proc/${pid}/mountinfo`)
    .split('\n')
    .map((line) => line.split(' '))
    .flatMap(([, , number = '', , target]) => {
      const name = names.get(number);
      return name === undefined ? [] : [`${name} is mounted on ${target}`];
    });
}

/** btrfs has device numbers of its own. */
function btrfsOn(names: Names): string[] {
  return namesIn('/sys/fs/btrfs').flatMap((id) =>
    namesIn(`/sys/fs/btrfs/${id}/devices`)
      .filter((name) => [...names.values()].includes(name))
      .map((name) => `${name} is part of the btrfs file system ${id}${mountPointOf(name)}`),
  );
}

function mountPointOf(name: string): string {
  const mount = textOf('/proc/self/mountinfo')
    .split('\n')
    .map((line) => line.split(' '))
    .find((fields) => fields.includes(`/dev/${name}`));
  return mount === undefined ? '' : `, mounted on ${mount[4]}`;
}

function holdersOf(disk: string, names: Names): string[] {
  return [...names.values()].flatMap((name) =>
    namesIn(name === disk ? `/sys/block/${disk}/holders` : `/sys/block/${disk}/${name}/holders`).map(
      (holder) => `${name} is part of ${holder}${deviceMapperName(holder)}`,
    ),
  );
}

function deviceMapperName(holder: string): string {
  const name = textOf(`/sys/block/${holder}/dm/name`).trim();
  return name === '' ? '' : ` (${name})`;
}

/** The kernel's loop devices whose file is the disk or one of its partitions. */
export function loopsOn(names: Names): string[] {
  return namesIn('/sys/block').flatMap((loop) => {
    const file = textOf(`/sys/block/${loop}/loop/backing_file`).trim();
    const name = file === '' ? undefined : nameOfNode(file, names);
    return name === undefined ? [] : [`${name} is the file of /dev/${loop}`];
  });
}

function swapsOn(names: Names): string[] {
  const lines = textOf('/proc/swaps').split('\n').slice(1);
  return lines.flatMap((line) => {
    const [file = ''] = line.split(' ');
    const name = file === '' ? undefined : nameOfNode(file, names);
    return name === undefined ? [] : [`${name} is used as swap`];
  });
}

async function* usersAmongProcesses(
  names: Names,
  deadline: Deadline,
  except: readonly number[],
): AsyncGenerator<string, void, undefined> {
  const seen = new Set([linkOf('/proc/self/ns/mnt')]);
  for await (const pid of processes(deadline, except)) {
    const space = linkOf(`/proc/${pid}/ns/mnt`);
    if (space !== '' && !seen.has(space)) {
      seen.add(space);
      for (const mount of mountsIn(String(pid), names))
        yield `${mount} for process ${pid} (${commandOf(pid)})`;
    }
    for (const { fd, target } of openFiles(pid, deadline)) {
      const name = await nameOfOpen(pid, fd, target, names);
      if (name !== undefined) yield `${name} is open in process ${pid} (${commandOf(pid)})`;
    }
  }
}

/** The disk or partition that a file in /dev is the node of. */
function nameOfNode(path: string, names: Names): string | undefined {
  try {
    return path.startsWith('/dev/') ? nameOf(statSync(path, { bigint: true }), names) : undefined;
  } catch {
    return undefined;
  }
}

/** The same for what a process has open, by whatever name: the file system of one outside /dev may hang. */
async function nameOfOpen(
  pid: number,
  fd: string,
  target: string,
  names: Names,
): Promise<string | undefined> {
  const path = `/proc/${pid}/fd/${fd}`;
  if (!target.startsWith('/dev/')) {
    const found = await stat(path, { bigint: true }).catch(() => undefined);
    return found && nameOf(found, names);
  }
  try {
    return nameOf(statSync(path, { bigint: true }), names);
  } catch {
    return undefined;
  }
}

function nameOf(found: BigIntStats, names: Names): string | undefined {
  if (!found.isBlockDevice()) return undefined;
  return [...names].find(([number]) => deviceNumber(number) === found.rdev)?.[1];
}
