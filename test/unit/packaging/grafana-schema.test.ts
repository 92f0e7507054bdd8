import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import t from 'tap';
import { run } from '../../helpers/process.js';

t.setTimeout(120_000);

/** Where the compiler finds our modules and Grafana's. */
const PLACE = resolve('dist', 'grafana');
const COMPILER = resolve('node_modules', 'typescript', 'bin', 'tsc');
const OPTIONS = [
  ...['--noEmit', '--strict', '--exactOptionalPropertyTypes', '--skipLibCheck', '--pretty', 'false'],
  ...['--target', 'es2023', '--module', 'nodenext', '--ignoreConfig', '--types', ''],
];

const readDashboard = () => JSON.parse(readFileSync('packaging/grafana/nbdloop.json', 'utf8'));
type Loose = ReturnType<typeof readDashboard>;

const panelOf = (dashboard: Loose, type: string): Loose =>
  dashboard.panels.find((panel: Loose) => panel.type === type);

/** Each spoils a dashboard in one place. */
const MISTAKES: Readonly<Record<string, (dashboard: Loose) => void>> = {
  'a field that a dashboard has not': (dashboard) => {
    dashboard.refreshRate = '30s';
  },
  'a size that is no number': (dashboard) => {
    dashboard.panels[0].gridPos.w = '12';
  },
  'a panel of no kind': (dashboard) => {
    dashboard.panels[0].type = 'graph';
  },
  'a way to show a legend that there is not': (dashboard) => {
    panelOf(dashboard, 'timeseries').options.legend.displayMode = 'lists';
  },
  'an option of another panel': (dashboard) => {
    panelOf(dashboard, 'timeseries').options.colorMode = 'value';
  },
  'an option that is missing': (dashboard) => {
    delete panelOf(dashboard, 'heatmap').options.color.steps;
  },
  'a setting of a line that there is not': (dashboard) => {
    panelOf(dashboard, 'timeseries').fieldConfig.defaults.custom.showPoints = 'sometimes';
  },
  'a query without a name': (dashboard) => {
    delete dashboard.panels[0].targets[0].refId;
  },
  'a time at which no variable is read anew': (dashboard) => {
    dashboard.templating.list[1].refresh = 9;
  },
};

/** What Grafana's types say of each dashboard, in one run of the compiler. */
async function complaints(dashboards: readonly object[]): Promise<string[]> {
  rmSync(PLACE, { recursive: true, force: true });
  mkdirSync(PLACE, { recursive: true });
  const files = dashboards.map((dashboard, index) => {
    const file = join(PLACE, `dashboard-${index}.ts`);
    writeFileSync(
      file,
      `import type { GrafanaDashboard } from '../test/unit/packaging/grafana-dashboard.js';\nexport const dashboard: GrafanaDashboard = ${JSON.stringify(dashboard, null, 2)};\n`,
    );
    return file;
  });
  const { stdout, stderr } = await run(process.execPath, [COMPILER, ...OPTIONS, ...files]);
  rmSync(PLACE, { recursive: true });
  const lines = (stdout + stderr).split('\n').filter((line) => /error TS/.test(line));
  const others = lines.filter((line) => !/dashboard-\d+\.ts/.test(line));
  if (others.length > 0) throw new Error(others.join('\n'));
  return files.map((_, index) => lines.filter((line) => line.includes(`dashboard-${index}.ts`)).join('\n'));
}

t.test('the dashboard is one by Grafana’s own types, which find what is wrong in one', async (t) => {
  const names = Object.keys(MISTAKES);
  const spoilt = Object.values(MISTAKES).map((spoil) => {
    const dashboard = readDashboard();
    spoil(dashboard);
    return dashboard;
  });
  const [ours, ...theirs] = await complaints([readDashboard(), ...spoilt]);
  t.equal(ours, '');
  for (const [index, found] of theirs.entries()) t.match(found, /error TS/, names[index] ?? '');
});
