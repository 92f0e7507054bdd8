/** The short selection: three nodes, and the faults that tell most in least time. `npm run test:cluster` has them all. */
import t from 'tap';
import { Random } from '../helpers/random.js';
import type { FaultName } from './faults/faults.js';
import { describe, underFault } from './faults/under-fault.js';
import { Lab } from './lab/lab.js';
import { skipWithoutLab } from './prepare.js';

t.setTimeout(380_000);

/** The last one leaves a node off, and nobody waits for it to be well again. */
const SHORT: readonly FaultName[] = ['planned move', 'daemon killed', 'power-off'];

t.test(
  'no acknowledged write is lost, and no older one comes back',
  { skip: await skipWithoutLab() },
  async (t) => {
    const random = Random.fromEnvironment('CLUSTER_SEED');
    await using lab = await Lab.start();
    for (const fault of SHORT) {
      const report = await underFault(lab, fault, random, fault === SHORT.at(-1) ? 'as it is' : 'well again');
      t.comment(describe(report));
      t.strictSame(report.faults, [], `seed ${random.seed}: ${fault}`);
      t.strictSame(report.refusals, [], 'no client hears of an error');
      t.ok(report.acknowledged > 10 && report.reads > 10, 'they have worked');
    }
  },
);
