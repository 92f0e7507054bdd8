/**
 * Which files run beside which. Three at a time, on two processors: a guest spends a good part of its life waiting, and a test
 * of a daemon half of it. Two lanes boot guests, the longest of the run, and then take what is left of the rest, which is
 * short and so fills the lanes evenly to the end; one lane runs the rest from the start. No file has the machine for itself,
 * and none may need it.
 */

export interface Lanes<T> {
  readonly guests: readonly T[];
  readonly others: readonly T[];
}

/** Runs every item once; rejects with the first rejection. */
export async function runInLanes<T>(lanes: Lanes<T>, run: (item: T) => Promise<void>): Promise<void> {
  const guests = [...lanes.guests];
  const others = [...lanes.others];
  const walk = async (mine: T[], next: T[]): Promise<void> => {
    for (let item = mine.shift() ?? next.shift(); item !== undefined; item = mine.shift() ?? next.shift())
      await run(item);
  };
  await Promise.all([walk(guests, others), walk(guests, others), walk(others, [])]);
}
