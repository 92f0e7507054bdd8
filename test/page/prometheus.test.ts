import { readFileSync } from 'node:fs';
import t from 'tap';
import { PagedDaemon } from '../helpers/paged-daemon.js';
import { run } from '../helpers/process.js';
import { Prometheus } from '../helpers/prometheus.js';
import { skipUnless, tool } from '../helpers/tools.js';
import { until } from '../helpers/until.js';

t.setTimeout(60_000);
const skip = skipUnless('promtool', 'prometheus');

interface Dashboard {
  readonly panels: readonly {
    readonly title: string;
    readonly targets: readonly { readonly expr: string }[];
  }[];
}

/** As Grafana asks: with what is chosen at first, for a time in which there were some scrapes. */
const filledIn = (expression: string): string =>
  expression.replaceAll('$__rate_interval', '1m').replaceAll('$instance', '.*').replaceAll('$device', '.*');

t.test(
  'a Prometheus scrapes the daemon, and each panel of the dashboard has something to show',
  { skip },
  async (t) => {
    await using paged = await PagedDaemon.start(3);
    await paged.keepBusy('loop0');
    await using prometheus = await Prometheus.start(paged);
    await prometheus.seen('rate(nbdloop_requests_total{device="loop0", operation="read"}[1m]) > 0');
    await prometheus.seen('up{job="nbdloop"} == 1');
    const { panels } = JSON.parse(readFileSync('packaging/grafana/nbdloop.json', 'utf8')) as Dashboard;
    for (const { title, targets } of panels) {
      for (const { expr } of targets) {
        // No device of another host is in this machine's kernel: it is asked for, and nothing is found.
        const series = await prometheus.query(filledIn(expr));
        if (!/nbdloop_remote_/.test(expr)) t.ok(series.length > 0, `${title}: ${expr}`);
      }
    }
    const rules = await until('all alerts were evaluated', async () => {
      const all = await prometheus.rules();
      return all.every(({ health }) => health !== 'unknown') && all.length > 0 ? all : undefined;
    });
    t.ok(rules.length >= 10);
    for (const { name, health } of rules) t.equal(health, 'ok', name);
  },
);

t.test('Prometheus’ own tool finds nothing wrong with the metrics of a daemon', { skip }, async (t) => {
  await using paged = await PagedDaemon.start(2);
  await paged.keepBusy('loop0');
  const { origin, token } = await paged.daemon.client.page();
  t.equal((await fetch(`${origin}/metrics`)).status, 401, 'a scrape needs the token');
  const answer = await fetch(`${origin}/metrics`, { headers: { authorization: `Bearer ${token}` } });
  const text = await answer.text();
  t.match(text, /^nbdloop_requests_in_flight\{device="loop0"\} \d/m);
  const ended = await run(tool('promtool'), ['check', 'metrics'], { input: text });
  t.strictSame([ended.status, ended.stdout + ended.stderr], [0, '']);
});

t.test('the alerts are loaded, and fire when they should', { skip }, async (t) => {
  const check = await run(tool('promtool'), ['check', 'rules', 'packaging/prometheus/nbdloop.rules.yml']);
  t.equal(check.status, 0, check.stdout + check.stderr);
  t.match(readFileSync('packaging/prometheus/nbdloop.rules.test.yml', 'utf8'), /NbdloopDeviceStalled/);
  const test = await run(tool('promtool'), ['test', 'rules', 'packaging/prometheus/nbdloop.rules.test.yml']);
  t.equal(test.status, 0, test.stdout + test.stderr);
});
