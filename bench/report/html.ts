/** One self-contained page: tables, and plots by Chart.js, which is copied into it. */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { describeConditions } from '../conditions.js';
import { judgedOf, type Report, type Section, sectionsOf } from './figures.js';

/** Chart.js's bundle for browsers, of the development dependency. */
const CHART_JS = fileURLToPath(new URL('./chart.umd.min.js', import.meta.resolve('chart.js')));

/** What one plot shows: a bar a server. */
interface Plot {
  readonly title: string;
  readonly labels: readonly string[];
  readonly values: readonly (number | null)[];
  readonly colours: readonly string[];
}

const COLOURS = { ours: '#2563eb', peer: '#94a3b8', floor: '#cbd5e1', ceiling: '#e2e8f0' } as const;

const plotsOf = (section: Section): Plot[] => {
  const { summaries, workload } = section;
  const fio = workload.load.client !== 'nbdcopy';
  const plot = (title: string, value: (summary: (typeof summaries)[number]) => number | undefined): Plot => ({
    title,
    labels: summaries.map(({ server }) => server),
    values: summaries.map((summary) => value(summary) ?? null),
    colours: summaries.map(({ role }) => COLOURS[role]),
  });
  return [
    fio ? plot('IOPS', ({ iops }) => iops) : plot('MB/s', ({ throughput }) => throughput / 1e6),
    plot(`server CPU, us a ${fio ? 'request' : 'MiB'}`, ({ cost }) => cost),
    ...(fio ? [plot('p99 latency, us', ({ latency }) => latency?.p99)] : []),
  ];
};

/** Several reports follow one another, each under its own conditions. */
export const reportHtml = async (reports: readonly Report[]): Promise<string> => {
  const plots: Plot[] = [];
  const bodies = reports.map((report) => {
    const lines = describeConditions(report.conditions).map((line) => `<li>${escapeHtml(line)}</li>`);
    const sections = sectionsOf(report);
    const parts = sections.map((section) => {
      const own = plotsOf(section);
      const first = plots.push(...own) - own.length;
      return sectionHtml(
        section,
        own.map((_, index) => first + index),
      );
    });
    return `<ul>${lines.join('')}</ul>${targetsHtml(sections)}${parts.join('')}`;
  });
  return page(await readFile(CHART_JS, 'utf8'), plots, bodies.join('<hr>'));
};

const escapeHtml = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');

const row = (tag: string, cells: readonly string[]): string =>
  `<tr>${cells.map((cell) => `<${tag}>${escapeHtml(cell)}</${tag}>`).join('')}</tr>`;

/** Every target, and whether it was reached. */
const targetsHtml = (sections: readonly Section[]): string => {
  const rows = judgedOf(sections).map(({ id, verdict }) => row('td', [id, verdict.says]));
  if (rows.length === 0) return '';
  return `<h2>Targets</h2><table class="text">${row('th', ['workload', 'found'])}${rows.join('')}</table>`;
};

const sectionHtml = (section: Section, plotNumbers: readonly number[]): string => {
  const canvases = plotNumbers.map(
    (number) => `<div class="plot"><canvas id="plot${number}"></canvas></div>`,
  );
  return `<section><h2>${escapeHtml(section.heading)}</h2>
<div class="plots">${canvases.join('')}</div>
<table>${row('th', section.columns)}${section.rows.map((cells) => row('td', cells)).join('')}</table>
<ul>${section.remarks.map((remark) => `<li>${escapeHtml(remark)}</li>`).join('')}</ul></section>
`;
};

const page = (chartJs: string, plots: readonly Plot[], body: string): string => `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>nbdloop benchmarks</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; color: #1e293b }
h2 { font-size: 1.1rem; margin-top: 2.5rem }
.plots { display: flex; flex-wrap: wrap; gap: 1rem }
.plot { flex: 1 1 20rem; height: 14rem; min-width: 0; position: relative }
table { border-collapse: collapse; display: block; overflow-x: auto; font-variant-numeric: tabular-nums }
th, td { border-bottom: 1px solid #e2e8f0; padding: .2rem .6rem; text-align: right; white-space: nowrap }
th:first-child, td:first-child, .text th, .text td { text-align: left }
</style></head><body><h1>nbdloop benchmarks</h1>
${body}
<script>${chartJs.replaceAll('</script', '<\\/script').replace(/^\/\/# sourceMappingURL=.*$/m, '')}</script>
<script>
const plots = ${JSON.stringify(plots).replaceAll('<', '\\u003c')};
for (const [number, { title, labels, values, colours }] of plots.entries()) {
  new Chart(document.getElementById('plot' + number), {
    type: 'bar',
    data: { labels, datasets: [{ data: values, backgroundColor: colours }] },
    options: {
      animation: false, indexAxis: 'y', maintainAspectRatio: false,
      plugins: { legend: { display: false }, title: { display: true, text: title } },
      scales: { x: { beginAtZero: true } },
    },
  });
}
</script></body></html>
`;
