/** How long requests took, as colours: a column a period, a row a bucket of the histogram. */

import { useEffect, useRef, useState } from 'preact/hooks';
import type { DeviceHistory } from '../../../live-messages.js';
import { clock, count, duration } from '../format.js';
import { colour, useScheme } from './colours.js';

const HEIGHT = 150;
const AXIS = 62;
const FOOT = 20;
/** Rows: from 1 us to 134 s. */
const ROWS = 28;

/** Of so little time seconds are told, milliseconds. */
const SHORT_MS = 5 * 60_000;

/** Undoes what the daemon did to a count to put it into a byte. */
const countOf = (heat: number): number => (heat === 0 ? 0 : Math.round(2 ** ((heat - 1) / 8)));

export function Heat({ history }: { history: DeviceHistory }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const scheme = useScheme();
  const [width, resize] = useState(0);
  const [under, point] = useState<string | null>(null);
  const { low, high } = rowsOf(history);
  useEffect(() => {
    const element = canvas.current?.parentElement;
    if (element === null || element === undefined) return;
    const observer = new ResizeObserver(() => resize(element.clientWidth));
    observer.observe(element);
    resize(element.clientWidth);
    return () => observer.disconnect();
  }, []);
  useEffect(() => {
    if (canvas.current !== null && width > 0) draw(canvas.current, width, history, { low, high });
  }, [history, width, scheme]);
  const onMove = (event: MouseEvent): void => {
    const column = columnAt(event.offsetX, width, history.heat.length);
    const row = high - Math.floor((event.offsetY / (HEIGHT - FOOT)) * (high - low + 1));
    const heat = history.heat[column]?.[row];
    const at = history.end - (history.heat.length - 1 - column) * history.period;
    const range = `${row === 0 ? '0' : duration(2 ** (row - 1))} to ${duration(2 ** row)}`;
    point(
      heat === undefined || row < low ? null : `${clock(at)} · ${range} · ${count(countOf(heat))} requests`,
    );
  };
  return (
    <figure class="chart heat">
      <figcaption>
        <span class="title">Latency, all requests</span>
        <span class="key">
          <span class="ramp" aria-hidden="true" /> few to many
        </span>
        <span class="key under">{under ?? ''}</span>
      </figcaption>
      <div class="plot">
        <canvas
          ref={canvas}
          role="img"
          aria-label={describe(history)}
          onMouseMove={onMove}
          onMouseLeave={() => point(null)}
        />
      </div>
    </figure>
  );
}

const columnAt = (x: number, width: number, columns: number): number =>
  Math.floor(((x - AXIS) / (width - AXIS - 6)) * columns);

/** The buckets that hold something, and one more on either side. */
function rowsOf({ heat }: DeviceHistory): { low: number; high: number } {
  let low = ROWS;
  let high = 0;
  for (const column of heat) {
    column.forEach((value, row) => {
      if (value === 0) return;
      low = Math.min(low, row);
      high = Math.max(high, row);
    });
  }
  return low > high
    ? { low: 2, high: 18 }
    : { low: Math.max(Math.min(low - 1, high - 9), 0), high: Math.min(Math.max(high + 1, 12), ROWS - 1) };
}

function describe({ heat }: DeviceHistory): string {
  const sums = new Array<number>(ROWS).fill(0);
  for (const column of heat) {
    column.forEach((value, row) => {
      sums[row] = (sums[row] ?? 0) + countOf(value);
    });
  }
  const most = sums.indexOf(Math.max(...sums));
  const slowest = sums.findLastIndex((sum) => sum > 0);
  if (slowest < 0) return 'Latency over time: no requests.';
  return `Latency over time: most requests took less than ${duration(2 ** most)}, the slowest less than ${duration(2 ** slowest)}.`;
}

interface Rows {
  readonly low: number;
  readonly high: number;
}

function draw(
  canvas: HTMLCanvasElement,
  width: number,
  { heat, period, end }: DeviceHistory,
  { low, high }: Rows,
): void {
  const scale = devicePixelRatio;
  canvas.width = width * scale;
  canvas.height = HEIGHT * scale;
  canvas.style.width = `${width}px`;
  canvas.style.height = `${HEIGHT}px`;
  const context = canvas.getContext('2d');
  if (context === null) return;
  context.scale(scale, scale);
  const body = { width: width - AXIS - 6, height: HEIGHT - FOOT };
  const rowHeight = body.height / (high - low + 1);
  const top = (row: number): number => (high - row) * rowHeight;
  context.font = `11px ${getComputedStyle(document.body).fontFamily}`;
  context.fillStyle = colour('text-faint');
  context.strokeStyle = colour('grid');
  context.textBaseline = 'middle';
  context.textAlign = 'right';
  for (let row = low; row <= high; row++) {
    if (![0, 3, 7, 10, 13, 17, 20, 23, 27].includes(row)) continue;
    const y = top(row);
    context.beginPath();
    context.moveTo(AXIS, y);
    context.lineTo(width - 6, y);
    context.stroke();
    context.fillText(duration(2 ** row).replace('.0 ', ' '), AXIS - 8, Math.max(y, 6));
  }
  const colours = Array.from({ length: 6 }, (_, step) => colour(`heat-${step}`));
  const columnWidth = body.width / Math.max(heat.length, 1);
  const most = Math.max(1, ...heat.map((column) => Math.max(0, ...column)));
  heat.forEach((column, at) => {
    for (let row = low; row <= high; row++) {
      const value = column[row] ?? 0;
      if (value === 0) continue;
      context.fillStyle = colours[Math.min(5, Math.floor((value / most) * 5.999))] ?? '';
      const x = AXIS + at * columnWidth;
      context.fillRect(x, top(row), Math.max(columnWidth + 0.4, 1), Math.max(rowHeight - 0.6, 1));
    }
  });
  context.fillStyle = colour('text-faint');
  context.textBaseline = 'bottom';
  const isShort = heat.length * period < SHORT_MS;
  for (const [share, align] of [
    [0, 'left'],
    [0.5, 'center'],
    [1, 'right'],
  ] as const) {
    context.textAlign = align;
    const at = end - (1 - share) * (heat.length - 1) * period;
    const time = clock(at).slice(-8);
    context.fillText(isShort ? time : time.slice(0, 5), AXIS + share * body.width, HEIGHT - 2);
  }
}
