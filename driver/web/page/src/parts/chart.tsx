/** Lines over time. */

import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { colour, useScheme } from './colours.js';

export interface Line {
  readonly name: string;
  /** Of a custom property of the style sheet. */
  readonly colour: string;
  readonly values: readonly (number | null)[];
}

export interface ChartProps {
  readonly title: string;
  /** Seconds since 1970, of each value. */
  readonly times: readonly number[];
  readonly lines: readonly Line[];
  readonly format: (value: number) => string;
  /** Powers of ten at the same distance. */
  readonly logarithmic?: boolean;
  readonly isBytes?: boolean;
  /** Charts of the same name show the same moment under the pointer. */
  readonly together?: string;
}

const HEIGHT = 150;
/** Pixels that a time takes, less what is beside the chart. */
const LABEL = 44;
/** Where a logarithmic chart begins. */
const LEAST = 1;
/** A chart is at least so long, seconds. */
const LEAST_SECONDS = 60;
/** Distances of lines for what is counted in bytes: those of a number would be odd ones. */
const POWERS_OF_TWO = Array.from({ length: 50 }, (_, power) => 2 ** power);

export function Chart(props: ChartProps) {
  const { title, times, lines, format } = props;
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>(undefined);
  const scheme = useScheme();
  const data = [times, ...lines.map(({ values }) => values)] as unknown as uPlot.AlignedData;
  const latest = useRef(data);
  latest.current = data;
  useEffect(() => {
    const element = place.current;
    if (element === null) return;
    const made = new uPlot(optionsOf(props, element.clientWidth), latest.current, element);
    plot.current = made;
    const resized = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height: HEIGHT }));
    resized.observe(element);
    return () => {
      resized.disconnect();
      made.destroy();
      plot.current = undefined;
    };
  }, [scheme, lines.length]);
  useEffect(() => {
    plot.current?.setData(latest.current);
  });
  const now = lines.map(({ name, values }) => `${name} ${format(values.at(-1) ?? 0)}`).join(', ');
  return (
    <figure class="chart">
      <figcaption>
        <span class="title">{title}</span>
        {lines.map((line) => (
          <span key={line.name} class="key">
            <span class={`swatch ${line.colour}`} aria-hidden="true" />
            {line.name} <b>{format(line.values.at(-1) ?? 0)}</b>
          </span>
        ))}
      </figcaption>
      <div ref={place} class="plot" role="img" aria-label={`${title} over time. Now: ${now}.`} />
    </figure>
  );
}

function optionsOf(
  { lines, format, logarithmic, isBytes, together }: ChartProps,
  width: number,
): uPlot.Options {
  const axis: uPlot.Axis = {
    stroke: colour('text-faint'),
    font: `11px ${getComputedStyle(document.body).fontFamily}`,
    grid: { stroke: colour('grid'), width: 1 },
    ticks: { show: false },
  };
  return {
    width,
    height: HEIGHT,
    padding: [8, 6, 0, 0],
    legend: { show: false },
    cursor: { y: false, points: { size: 5 }, ...(together !== undefined && { sync: { key: together } }) },
    hooks: { setCursor: [showValues(lines, format)] },
    scales: {
      x: { time: true, range: (_plot, first, last) => [Math.min(first, last - LEAST_SECONDS), last] },
      y: logarithmic
        ? {
            distr: 3,
            log: 10,
            range: (_plot, _low, high) => [LEAST, 10 ** Math.ceil(Math.log10(Math.max(high || 1, 1000)))],
          }
        : { range: (_plot, _low, high) => [0, Math.max(high * 1.08, isBytes ? 1024 : 1)] },
    },
    axes: [
      {
        ...axis,
        size: 26,
        gap: 8,
        space: 80,
        values: (plot, ticks) => ticks.map((tick) => (hasRoom(plot, tick) ? timeOf(tick, ticks) : '')),
      },
      {
        ...axis,
        size: 62,
        space: 30,
        values: (_plot, ticks) =>
          ticks.map((tick) => (tick === null || tick === undefined ? '' : format(tick))),
        ...(isBytes && { incrs: POWERS_OF_TWO }),
        ...(logarithmic && { splits: (_plot, _axis, _low, high) => decades(high) }),
      },
    ],
    series: [
      {},
      ...lines.map(
        (line): uPlot.Series => ({
          label: line.name,
          stroke: colour(line.colour),
          width: 1.5,
          points: { show: false },
          spanGaps: false,
        }),
      ),
    ],
  };
}

/** 1, 10, 100, ... up to `high`. */
const decades = (high: number): number[] =>
  Array.from({ length: Math.floor(Math.log10(high) + 1e-9) + 1 }, (_, power) => 10 ** power);

/** A label that would be cut at the right is left out. */
const hasRoom = (plot: uPlot, tick: number): boolean =>
  plot.valToPos(tick, 'x') < plot.bbox.width / devicePixelRatio - LABEL / 2;

/** Seconds where lines are less than a minute apart. */
function timeOf(tick: number, ticks: readonly number[]): string {
  const text = new Date(tick * 1000).toLocaleTimeString('en-GB');
  return (ticks[1] ?? 0) - (ticks[0] ?? 0) < 60 ? text : text.slice(0, 5);
}

/** The values under the pointer, as a small line of text in the chart. */
function showValues(lines: readonly Line[], format: (value: number) => string) {
  return (plot: uPlot): void => {
    let note = plot.over.querySelector('.under-pointer');
    const at = plot.cursor.idx;
    if (at === null || at === undefined) {
      note?.remove();
      return;
    }
    if (note === null) {
      note = document.createElement('div');
      note.className = 'under-pointer';
      plot.over.append(note);
    }
    const time = new Date((plot.data[0][at] ?? 0) * 1000).toLocaleTimeString('en-GB');
    const values = lines.map(({ name }, index) => `${name} ${format(plot.data[index + 1]?.[at] ?? 0)}`);
    note.textContent = [time, ...values].join(' · ');
  };
}
