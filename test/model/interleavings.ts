import type { Device, Step } from './loop-model.js';

/** An operation that ran: its first step in the model, and what the real one resulted in. */
export interface Observed {
  readonly first: Step;
  readonly result: string;
}

/** A step that is due, and the result its operation must end with; null for work in the background. */
interface Due {
  readonly step: Step;
  readonly result: string | null;
}

/**
 * Every device that the model can end with when these operations run side by side and result in what was observed:
 * all interleavings of their steps are tried. None means that the real device did what it must not.
 */
export function possibleEnds(start: Device, operations: readonly Observed[]): Device[] {
  const ends = new Map<string, Device>();
  const visited = new Set<string>();
  const visit = (device: Device, due: readonly Due[]): void => {
    const key = JSON.stringify([device, due.map(({ step, result }) => [step.label, result]).sort()]);
    if (visited.has(key)) return;
    visited.add(key);
    if (due.length === 0) ends.set(key, device);
    for (const [index, one] of due.entries()) {
      const after = one.step.run(device);
      if (after === undefined) continue;
      const rest = due.toSpliced(index, 1);
      if (after.spawned !== undefined) rest.push({ step: after.spawned, result: null });
      if ('next' in after) visit(after.device, [...rest, { step: after.next, result: one.result }]);
      else if (one.result === null || one.result === after.result) visit(after.device, rest);
    }
  };
  visit(
    start,
    operations.map(({ first, result }) => ({ step: first, result })),
  );
  return [...ends.values()];
}
