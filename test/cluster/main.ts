/**
 * `npm run test:cluster -- [OPTIONS]`, one of
 *
 * - faults in a random order under clients whose every answer is checked: `[--minutes N] [--faults N] [--seed N] [--only NAME]`;
 *   `--devices N`: as many at once; `--storage directory`: on a disk that never fails and whose locks die at once, in place of
 *   GlusterFS, without the faults of bricks. A lab that does not get well again is begun anew, and counts as a fault of its own;
 * - `--controls`: a zombie with and without what stops it, see faults/zombie.ts;
 * - `--guest [--kernel 6.12]`: a file system in a guest that attaches the floating address, under five faults.
 *
 * `--logs DIRECTORY`: what everything has logged when something went wrong.
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Random } from '../helpers/random.js';
import { KERNELS, type KernelVersion } from '../vm/kernel-image.js';
import { FAULT_NAMES, type FaultName } from './faults/faults.js';
import { describe, type FaultReport, underFault } from './faults/under-fault.js';
import { zombie } from './faults/zombie.js';
import { guestUnderFaults } from './guest/under-faults.js';
import { Lab } from './lab/lab.js';
import { prepare } from './prepare.js';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    faults: { type: 'string', default: 'Infinity' },
    seed: { type: 'string', default: String(Date.now() % 2 ** 32) },
    only: { type: 'string', multiple: true },
    devices: { type: 'string', default: '1' },
    storage: { type: 'string', default: 'gluster' },
    logs: { type: 'string' },
    controls: { type: 'boolean', default: false },
    guest: { type: 'boolean', default: false },
    kernel: { type: 'string', default: '6.12' },
  },
});
const storage = values.storage === 'directory' ? 'directory' : 'gluster';
/** In the guest: each with a daemon that ends in another way, or a node that does. */
const FIVE: readonly FaultName[] = ['planned move', 'daemon killed', 'power-off', 'cable out', 'one-way cut'];
const random = new Random(Number(values.seed));
console.log(`seed ${random.seed}`);
await prepare();
const startLab = (): Promise<Lab> =>
  Lab.start({ devices: Number(values.devices), storage, progress: console.log });
const isGood = values.controls ? await controls() : values.guest ? await inGuest() : await inRandomOrder();
process.exitCode = isGood ? 0 : 1;

function wanted(unless: readonly FaultName[]): readonly FaultName[] {
  const names = (values.only ?? unless) as FaultName[];
  const unknown = names.filter((name) => !FAULT_NAMES.includes(name));
  if (unknown.length === 0) return names;
  throw new Error(`no fault ${unknown.join(', ')}; there are ${FAULT_NAMES.join(', ')}`);
}

/** True when nothing was lost, and every lab got well again. */
async function inRandomOrder(): Promise<boolean> {
  const names = wanted(
    storage === 'gluster' ? FAULT_NAMES : FAULT_NAMES.filter((name) => !/brick/.test(name)),
  );
  const end = Date.now() + Number(values.minutes) * 60_000;
  const reports: FaultReport[] = [];
  let stops = 0;
  const isEnough = (): boolean => Date.now() >= end || reports.length + stops >= Number(values.faults);
  while (!isEnough()) {
    await using lab = await startLab();
    try {
      while (!isEnough()) reports.push(await oneOf(lab, names, reports.length + stops + 1));
    } catch (error) {
      stops++;
      console.error((error as Error).message);
      await keepLogs(lab, `stop.${stops}`);
    }
  }
  summary(reports, stops);
  return stops === 0 && reports.every(({ faults }) => faults.length === 0);
}

async function oneOf(lab: Lab, names: readonly FaultName[], number: number): Promise<FaultReport> {
  const name = random.pick(names);
  console.log(`${number}: ${name} ...`);
  const report = await underFault(lab, name, random);
  console.log(`${number}: ${describe(report)}`);
  for (const fault of report.faults) console.error(fault.message);
  if (report.faults.length > 0) await keepLogs(lab, `fault.${number}`);
  return report;
}

async function keepLogs(lab: Lab, name: string): Promise<void> {
  if (values.logs !== undefined) await lab.keepLogs(join(values.logs, name));
}

function summary(reports: readonly FaultReport[], stops: number): void {
  const sum = (of: (report: FaultReport) => number): number => reports.reduce((all, one) => all + of(one), 0);
  for (const name of FAULT_NAMES) {
    const gaps = reports.filter(({ fault }) => fault === name).map(({ gap }) => gap.ms / 1000);
    if (gaps.length > 0)
      console.log(
        `${name}: ${gaps.length} times, longest gap ${Math.min(...gaps).toFixed(1)} to ${Math.max(...gaps).toFixed(1)} s`,
      );
  }
  console.log(
    `seed ${random.seed}: ${reports.length} faults, ${sum((one) => one.acknowledged)} writes acknowledged, ${sum((one) => one.reads)} reads, ${sum((one) => one.faults.length)} of them wrong; ${stops} labs that did not get well again`,
  );
}

/** True when the checker tells the one that loses for certain from the one that may not. */
async function controls(): Promise<boolean> {
  await using lab = await startLab();
  let isRight = true;
  for (const guard of ['nothing', 'the daemon', 'both'] as const) {
    const { faults, acknowledged, reads, lastWords } = await zombie(lab, guard, random.next());
    console.log(
      `zombie, stopped by ${guard}: ${acknowledged} writes acknowledged, ${reads} reads, ${faults.length} faults`,
    );
    console.log(`  the zombie said: ${lastWords.trim()}`);
    for (const fault of faults.slice(0, 10)) console.log(`  ${fault.message}`);
    if (guard === 'the daemon' || faults.length > 0 === (guard === 'nothing')) continue;
    console.error(`stopped by ${guard}: not what was expected`);
    isRight = false;
    await keepLogs(lab, `controls.${guard}`);
  }
  return isRight;
}

async function inGuest(): Promise<boolean> {
  const kernel = KERNELS.find((known) => known === values.kernel) as KernelVersion | undefined;
  if (kernel === undefined) throw new Error(`no kernel ${values.kernel}; there are ${KERNELS.join(', ')}`);
  await using lab = await startLab();
  const { result, complaints } = await guestUnderFaults(lab, wanted(FIVE), {
    random,
    kernel,
    say: console.log,
  });
  if (result.status !== 0) {
    console.error(result.output);
    await keepLogs(lab, 'guest');
  }
  console.log(`the guest ended with ${result.status}; the kernel complains ${complaints.length} times`);
  for (const line of complaints) console.error(line);
  return result.status === 0 && complaints.length === 0;
}
