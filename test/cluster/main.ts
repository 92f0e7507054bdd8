/**
 * `npm run test:cluster -- [--minutes N] [--faults N] [--seed N] [--only NAME]`: faults in a random order, which the seed decides,
 * under clients whose every answer is checked. `--controls`: a zombie with and without what stops it, see faults/zombie.ts.
 */
import { parseArgs } from 'node:util';
import { Random } from '../helpers/random.js';
import { FAULT_NAMES, type FaultName } from './faults/faults.js';
import { describe, type FaultReport, underFault } from './faults/under-fault.js';
import { zombie } from './faults/zombie.js';
import { Lab } from './lab/lab.js';
import { prepare } from './prepare.js';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    faults: { type: 'string', default: 'Infinity' },
    seed: { type: 'string', default: String(Date.now() % 2 ** 32) },
    only: { type: 'string', multiple: true },
    controls: { type: 'boolean', default: false },
  },
});
const names = (values.only ?? FAULT_NAMES) as FaultName[];
const unknown = names.filter((name) => !FAULT_NAMES.includes(name));
if (unknown.length > 0)
  throw new Error(`no fault ${unknown.join(', ')}; there are ${FAULT_NAMES.join(', ')}`);
const random = new Random(Number(values.seed));
const until = Date.now() + Number(values.minutes) * 60_000;
const reports: FaultReport[] = [];
console.log(`seed ${random.seed}`);
await prepare();
await using lab = await Lab.start({ progress: console.log });
if (values.controls) await controls();
while (!values.controls && Date.now() < until && reports.length < Number(values.faults)) {
  const name = random.pick(names);
  console.log(`${reports.length + 1}: ${name} ...`);
  const report = await underFault(lab, name, random);
  reports.push(report);
  console.log(`${reports.length}: ${describe(report)}`);
  for (const fault of report.faults) console.error(fault.message);
}
const found = reports.flatMap(({ faults }) => faults);
const sum = (what: 'acknowledged' | 'reads'): number => reports.reduce((all, one) => all + one[what], 0);
for (const name of names) {
  const gaps = reports.filter(({ fault }) => fault === name).map(({ gap }) => gap.ms / 1000);
  if (gaps.length > 0)
    console.log(
      `${name}: ${gaps.length} times, longest gap ${Math.min(...gaps).toFixed(1)} to ${Math.max(...gaps).toFixed(1)} s`,
    );
}
console.log(
  `seed ${random.seed}: ${reports.length} faults, ${sum('acknowledged')} writes acknowledged, ${sum('reads')} reads, ${found.length} of them wrong`,
);
process.exitCode = found.length === 0 ? 0 : 1;

/** Throws when the checker does not tell the one that loses from the one that does not. */
async function controls(): Promise<void> {
  for (const strictLocks of ['off', 'on'] as const) {
    const { faults, acknowledged, reads, lastWords } = await zombie(lab, strictLocks, random.next());
    console.log(
      `zombie, client.strict-locks ${strictLocks}: ${acknowledged} writes acknowledged, ${reads} reads, ${faults.length} faults`,
    );
    console.log(`  the zombie said: ${lastWords.trim()}`);
    for (const fault of faults.slice(0, 10)) console.log(`  ${fault.message}`);
    if (faults.length > 0 !== (strictLocks === 'off')) {
      throw new Error(`client.strict-locks ${strictLocks}: not what was expected`);
    }
  }
}
