/** A line without axes: how busy a device was lately. */

const WIDTH = 120;
const HEIGHT = 22;

export function Spark({ values, label }: { values: readonly number[] | undefined; label: string }) {
  if (values === undefined || values.length === 0) return <span class="faint">–</span>;
  const top = Math.max(...values, 1);
  const step = WIDTH / Math.max(values.length - 1, 1);
  const y = (value: number): string => (HEIGHT - 1 - (value / top) * (HEIGHT - 3)).toFixed(1);
  const line = values
    .map((value, at) => `${at === 0 ? 'M' : 'L'}${(at * step).toFixed(1)} ${y(value)}`)
    .join('');
  return (
    <svg
      class="spark"
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      preserveAspectRatio="none"
      role="img"
      aria-label={label}
    >
      <path class="area" d={`${line}L${WIDTH} ${HEIGHT}L0 ${HEIGHT}Z`} />
      <path class="line" d={line} />
    </svg>
  );
}
