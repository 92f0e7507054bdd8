/** One fault under clients, and what they saw. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Random } from '../../helpers/random.js';
import { type Testimony, Witness } from '../client/witness.js';
import type { Lab } from '../lab/lab.js';
import { FAULTS, type FaultName } from './faults.js';

export interface FaultReport extends Testimony {
  readonly fault: FaultName;
  /** From and to. */
  readonly moved: string;
  /** Milliseconds, with what it took to be well again. */
  readonly tookMs: number;
}

/** Clients work before, meanwhile and after, until the cluster is well again, or serves at least. */
export async function underFault(
  lab: Lab,
  fault: FaultName,
  random: Random,
  until: 'well again' | 'as it is' = 'well again',
): Promise<FaultReport> {
  const began = performance.now();
  const active = await lab.settled();
  const others = [...lab.nodes.values()].filter((node) => node !== active);
  await using witness = await Witness.start(lab, random.next());
  await sleep(random.below(1000));
  try {
    await FAULTS[fault]({ lab, active, others, random });
    await witness.goesOn();
  } catch (error) {
    throw new Error(`${fault} of ${active.name}: ${(error as Error).message}\n${await lab.state()}`, {
      cause: error,
    });
  }
  const after = until === 'well again' ? await lab.whole() : await lab.active();
  const testimony = await witness.stop();
  return {
    ...testimony,
    fault,
    moved: `${active.name} to ${after?.name}`,
    tookMs: performance.now() - began,
  };
}

export const describe = ({
  fault,
  moved,
  gap,
  acknowledged,
  reads,
  faults,
  refusals,
  tookMs,
}: FaultReport): string =>
  [
    `${fault} (${moved}): longest gap ${(gap.ms / 1000).toFixed(1)} s`,
    `${acknowledged} writes acknowledged, ${reads} reads`,
    faults.length === 0 ? 'nothing lost' : `${faults.length} FAULTS: ${faults[0]?.message}`,
    ...(refusals.length === 0 ? [] : [`refused: ${refusals.join(', ')}`]),
    `${(tookMs / 1000).toFixed(0)} s`,
  ].join('; ');
