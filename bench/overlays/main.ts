/**
 * Overlays: `npm run bench:overlays`, on an idle machine. Rates beside a plain device, nbdkit's cow filter and qemu-nbd on
 * qcow2; 1000 overlays of one base; how long a snapshot holds requests; what a move costs who uses the device.
 */
import { closeSync, ftruncateSync, openSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import type { SnapshotAnswer } from '../../driver/control/messages.js';
import { ControlError } from '../../driver/control/transport.js';
import { Daemon } from '../../test/helpers/daemon.js';
import { NbdRequests } from '../../test/helpers/nbd-requests.js';
import { makeRandomFile, TempDir } from '../../test/helpers/temp.js';
import { runFio } from '../clients/fio.js';
import { median } from '../statistics.js';
import { treeResident } from '../system/proc.js';
import { overlayRows } from './rows.js';

const GIB = 1 << 30;
const MANY = 1000;
const AT_ONCE = 8;
/** A chain has a length. */
const SNAPSHOTS = 14;
/** Milliseconds, beyond what fsync takes: on tmpfs that is nothing. */
const MOST_WAIT = 20;
const LOAD = { client: 'fio', pattern: 'randrw', blockSize: 4096, depth: 16, connections: 1 } as const;

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    only: { type: 'string', default: 'rows,many,snapshots,move' },
    /** Where images lie that are to be on a disk, e.g. on btrfs or xfs, whose snapshots are clones. */
    disk: { type: 'string', default: '/var/tmp' },
  },
});

const failures: string[] = [];
const say = (text: string): boolean => process.stdout.write(`${text}\n`);

const addressOf = ({ socket }: Daemon): string => `nbd+unix:///loop0?socket=${socket}`;

function sparse(path: string, bytes: number): string {
  const fd = openSync(path, 'wx');
  ftruncateSync(fd, bytes);
  closeSync(fd);
  return path;
}

async function rows(memory: TempDir): Promise<void> {
  const base = makeRandomFile(memory.file('base'), GIB / 2);
  failures.push(...(await overlayRows(base, memory.path, Number(values.rounds))));
}

async function many(memory: TempDir): Promise<void> {
  const base = sparse(memory.file('golden'), GIB);
  await using daemon = await Daemon.start();
  const before = treeResident(daemon.pid);
  const began = performance.now();
  let next = 0;
  const bind = async (): Promise<void> => {
    for (let i = next++; i < MANY; i = next++)
      await daemon.client.find({ file: base, overlay: { delta: memory.file(`delta-${i}`) } });
  };
  await Promise.all(Array.from({ length: AT_ONCE }, bind));
  const seconds = (performance.now() - began) / 1000;
  for (let i = 0; i < MANY; i++) {
    const client = await NbdRequests.open(daemon.socket, `loop${i}`);
    await client.write(i * 4096, Buffer.alloc(4096, i % 256));
    const { data } = await client.read(i * 4096, 4096);
    if (!data.equals(Buffer.alloc(4096, i % 256)))
      failures.push(`loop${i} reads another thing than was written`);
    client.destroy();
  }
  const each = (treeResident(daemon.pid) - before) / 1024 / MANY;
  say(
    `${MANY} overlays of one base of 1 GiB: bound in ${seconds.toFixed(1)} s, ${AT_ONCE} at a time, ${each.toFixed(2)} MiB resident each, all used`,
  );
  if (!(seconds < 10)) failures.push(`${MANY} overlays take ${seconds.toFixed(1)} s`);
  if (!(each < 0.5)) failures.push(`an overlay takes ${each.toFixed(2)} MiB`);
}

/** Of a plain file, where the file system has clones, and of an overlay. */
async function snapshots(disk: TempDir): Promise<void> {
  for (const gibibytes of [1, 10]) {
    for (const kind of ['plain', 'overlay'] as const) {
      const name = `${kind}-${gibibytes}`;
      const file = sparse(disk.file(name), gibibytes * GIB);
      await using daemon = await Daemon.start();
      const overlay = kind === 'overlay' ? { overlay: { delta: disk.file(`${name}.delta`) } } : {};
      await daemon.client.find({ file, ...overlay });
      const stop = new AbortController();
      const load = { runtime: 60, seed: 1, direct: false, signal: stop.signal };
      const running = runFio(addressOf(daemon), { ...LOAD, depth: 32 }, load).catch(() => undefined);
      const taken: SnapshotAnswer[] = [];
      try {
        for (let i = 0; i < SNAPSHOTS; i++) {
          await sleep(500);
          const devices = [{ number: 0, file: disk.file(`${name}.snapshot-${i}`) }];
          taken.push(...(await daemon.client.snapshot({ devices })));
        }
      } catch (error) {
        if (!(error instanceof ControlError && error.errno === 'EOPNOTSUPP')) throw error;
        say(`plain device of ${gibibytes} GiB: no clones on this file system`);
      } finally {
        stop.abort();
        await running;
      }
      if (taken.length > 0) tellWaits(gibibytes, taken);
    }
  }
}

function tellWaits(gibibytes: number, taken: readonly SnapshotAnswer[]): void {
  const kind = taken[0]?.kind;
  const told = (waits: readonly number[]): string =>
    `${median(waits).toFixed(1)} ms in the median, ${Math.max(...waits).toFixed(1)} ms at most`;
  const waits = taken.map(({ waitedMs, syncedMs }) => waitedMs - syncedMs);
  const most = Math.max(...waits).toFixed(1);
  say(
    `${taken.length} snapshots of ${gibibytes} GiB, ${kind}, 4 KiB at depth 32: requests waited ${told(taken.map(({ waitedMs }) => waitedMs))}; without what the disk took: ${told(waits)}`,
  );
  if (Number(most) >= MOST_WAIT) failures.push(`${gibibytes} GiB, ${kind}: a request waited ${most} ms`);
}

async function move(memory: TempDir, disk: TempDir): Promise<void> {
  const image = makeRandomFile(memory.file('busy'), 4 * GIB);
  await using daemon = await Daemon.start();
  await daemon.client.find({ file: image });
  const rate = async (runtime: number): Promise<number> => {
    const options = { runtime, seed: 1, direct: false, signal: AbortSignal.timeout(120_000) };
    const { requests = Number.NaN, seconds } = await runFio(addressOf(daemon), LOAD, options);
    return requests / seconds;
  };
  const alone = await rate(4);
  const began = performance.now();
  await daemon.client.move(0, disk.file('moved'));
  const rates: number[] = [];
  for (;;) {
    const one = await rate(1);
    if ((await daemon.client.copyStatus(0)).state !== 'running') break;
    rates.push(one);
  }
  const during = rates.reduce((sum, one) => sum + one, 0) / rates.length;
  say(`seconds of it: ${rates.map((one) => (one / alone).toFixed(2)).join(' ')}`);
  const { state } = await daemon.client.copyStatus(0);
  const seconds = (performance.now() - began) / 1000;
  say(
    `move of 4 GiB: ${state} within ${seconds.toFixed(0)} s; ${alone.toFixed(0)} requests/s before, ${during.toFixed(0)} in the mean of it (${(during / alone).toFixed(2)})`,
  );
  if (state !== 'done') failures.push(`the move ended as ${state}`);
  if (during < alone / 2) failures.push(`beside a move ${(during / alone).toFixed(2)} of the rate is left`);
}

async function main(): Promise<void> {
  const only = values.only.split(',');
  using memory = new TempDir('/dev/shm');
  using disk = new TempDir(values.disk);
  if (only.includes('rows')) await rows(memory);
  if (only.includes('many')) await many(memory);
  if (only.includes('snapshots')) await snapshots(disk);
  if (only.includes('move')) await move(memory, disk);
  for (const failure of failures) say(failure);
  process.exitCode = failures.length > 0 ? 1 : 0;
}

await main();
