/** The short selection: three nodes, and the faults that tell most in least time. `npm run test:cluster` has them all. */
import t from 'tap';
import { Random } from '../helpers/random.js';
import type { FaultName } from './faults/faults.js';
import { describe, underFault } from './faults/under-fault.js';
import { zombie } from './faults/zombie.js';
import { Lab } from './lab/lab.js';
import { skipWithoutLab } from './prepare.js';

t.setTimeout(380_000);

const SHORT: readonly FaultName[] = ['planned move', 'daemon killed'];

t.test('three nodes', { skip: await skipWithoutLab() }, async (t) => {
  const random = Random.fromEnvironment('CLUSTER_SEED');
  await using lab = await Lab.start();
  const nothingIsLost = async (fault: FaultName, after: 'well again' | 'as it is'): Promise<void> => {
    const report = await underFault(lab, fault, random, after);
    t.comment(describe(report));
    t.strictSame(
      report.faults,
      [],
      `seed ${random.seed}: ${fault}: nothing acknowledged is lost, nothing older comes back`,
    );
    t.strictSame(report.refusals, [], 'no client hears of an error');
    t.ok(report.acknowledged > 1 && report.reads > 0, 'they have worked', { report: describe(report) });
  };
  for (const fault of SHORT) await nothingIsLost(fault, 'well again');
  t.strictSame(
    (await zombie(lab, 'both', random.next())).faults,
    [],
    'one that has lost its lock writes nothing',
  );
  // It leaves a node off, and nobody waits for it to be well again.
  await nothingIsLost('power-off', 'as it is');
});
