/** The few statistics the report is made of. */

export const median = (values: readonly number[]): number => {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
};

/** Distance of the extremes as a share of the median: 0.1 is 10 %. */
export const spread = (values: readonly number[]): number =>
  (Math.max(...values) - Math.min(...values)) / median(values);

/** Above this share a median of so few rounds says little, and the report says so. */
export const WIDE_SPREAD = 0.25;

/** Median of what `pick` finds; undefined where no element has it. */
export const medianOf = <T>(
  items: readonly T[],
  pick: (item: T) => number | undefined,
): number | undefined => {
  const values = items.map(pick).filter((value) => value !== undefined);
  return values.length === 0 ? undefined : median(values);
};
