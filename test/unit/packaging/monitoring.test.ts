import { readFileSync } from 'node:fs';
import { parser } from '@prometheus-io/lezer-promql';
import t from 'tap';
import { parse } from 'yaml';
import { createControlApp } from '../../../driver/control/server.js';
import { fakeContext } from '../control/fake-loops.js';

/** Metrics of an expression; throws where it is none. */
function metricsOf(expression: string): string[] {
  const names: string[] = [];
  parser.parse(expression).iterate({
    enter: (node) => {
      const text = expression.slice(node.from, node.to);
      if (node.type.isError) throw new Error(`not PromQL near "${text}" at ${node.from}: ${expression}`);
      if (node.name === 'Identifier' && node.node.parent?.name === 'VectorSelector') names.push(text);
    },
  });
  return names;
}

/** What Grafana puts in for its variables. */
const filledIn = (expression: string): string => expression.replaceAll('$__rate_interval', '1m');

async function metricNames(): Promise<Map<string, string>> {
  const context = fakeContext();
  await context.loops.findAndConfigure({ file: '/a.img' });
  const server = await createControlApp(context);
  const { body } = await server.app.inject('/metrics');
  await server.close();
  return new Map(
    [...body.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map((match) => [match[1] ?? '', match[2] ?? '']),
  );
}

/** Prometheus' own, of every target. */
const OF_PROMETHEUS = ['up'];
const isThere = (known: ReadonlyMap<string, string>, name: string): boolean =>
  OF_PROMETHEUS.includes(name) || known.has(name.replace(/_(bucket|sum|count)$/, '')) || known.has(name);

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly for?: string;
  readonly labels: { readonly severity: string };
  readonly annotations: { readonly summary: string; readonly description: string };
}

t.test('the parser finds what is wrong', async (t) => {
  t.strictSame(metricsOf('sum by (device) (rate(a_total{x="y"}[5m])) / b > 0.1'), ['a_total', 'b']);
  t.throws(() => metricsOf('sum(rate(a_total[5m])'));
  t.throws(() => metricsOf('a_total{x=}'));
});

t.test('the alerts are of metrics that there are, each with what to do', async (t) => {
  const known = await metricNames();
  const file = parse(readFileSync('packaging/prometheus/nbdloop.rules.yml', 'utf8')) as {
    groups: { name: string; rules: Rule[] }[];
  };
  const rules = file.groups.flatMap((group) => group.rules);
  t.ok(rules.length >= 8);
  t.equal(new Set(rules.map(({ alert }) => alert)).size, rules.length, 'names are unique');
  for (const { alert, expr, labels, annotations } of rules) {
    const names = metricsOf(expr);
    t.ok(names.length > 0, alert);
    for (const name of names) t.ok(isThere(known, name), `${alert}: ${name}`);
    t.match(labels.severity, /^(critical|warning)$/, alert);
    t.ok(annotations.summary.length > 10 && annotations.description.length > 10, alert);
  }
});

t.test(
  'each alert has a test in which it fires, and each that waits one in which it does not yet',
  async (t) => {
    const { groups } = parse(readFileSync('packaging/prometheus/nbdloop.rules.yml', 'utf8')) as {
      groups: { rules: Rule[] }[];
    };
    const { tests } = parse(readFileSync('packaging/prometheus/nbdloop.rules.test.yml', 'utf8')) as {
      tests: { alert_rule_test: { alertname: string; exp_alerts: unknown[] }[] }[];
    };
    const checks = tests.flatMap((test) => test.alert_rule_test);
    for (const { alert, for: wait } of groups.flatMap(({ rules }) => rules)) {
      const own = checks.filter(({ alertname }) => alertname === alert);
      t.ok(
        own.some(({ exp_alerts }) => exp_alerts.length > 0),
        alert,
      );
      if (wait !== undefined)
        t.ok(
          own.some(({ exp_alerts }) => exp_alerts.length === 0),
          `${alert} waits`,
        );
    }
  },
);

interface Panel {
  readonly id: number;
  readonly title: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly fieldConfig: { readonly defaults: { readonly unit: string } };
  readonly targets: readonly { readonly refId: string; readonly expr: string }[];
}

t.test('the dashboard shows metrics that there are, in panels that do not overlap', async (t) => {
  const known = await metricNames();
  const dashboard = JSON.parse(readFileSync('packaging/grafana/nbdloop.json', 'utf8')) as {
    panels: Panel[];
    templating: { list: { name: string; query: string | { query: string } }[] };
  };
  const { panels, templating } = dashboard;
  const taken = new Set<string>();
  t.equal(new Set(panels.map(({ id }) => id)).size, panels.length);
  for (const { title, gridPos, fieldConfig, targets } of panels) {
    const { x, y, w, h } = gridPos;
    t.ok(x + w <= 24, `${title} fits`);
    for (let row = y; row < y + h; row++) {
      for (let column = x; column < x + w; column++) {
        t.notOk(taken.has(`${row} ${column}`), `${title} has its place for itself`);
        taken.add(`${row} ${column}`);
      }
    }
    for (const { expr } of targets) {
      const names = metricsOf(filledIn(expr));
      t.ok(names.length > 0, title);
      for (const name of names) {
        t.ok(isThere(known, name), `${title}: ${name}`);
        if (/_total$/.test(name) && !/^nbdloop_lock_reports/.test(name))
          t.match(expr, /rate\(|increase\(/, title);
        if (/_seconds(_bucket)?$/.test(name)) t.equal(fieldConfig.defaults.unit, 's', title);
        if (/bytes$/.test(name)) t.equal(fieldConfig.defaults.unit, 'bytes', title);
      }
    }
  }
  for (const { name, query } of templating.list) {
    const [, metric] = /label_values\((\w+)/.exec(typeof query === 'string' ? query : query.query) ?? [];
    if (metric !== undefined) t.ok(isThere(known, metric), `variable ${name}: ${metric}`);
  }
});

t.test('names and units are by Prometheus’ conventions', async (t) => {
  for (const [name, type] of await metricNames()) {
    t.equal(/_total$/.test(name), type === 'counter', `${name}: counters, and they alone, end in _total`);
    t.notMatch(
      name,
      /_(milliseconds|ms|microseconds|us|kilobytes|kb|mb|minutes|percent)(_|$)/,
      `${name}: base units`,
    );
    t.match(name, /^(nbdloop|process|nodejs)_[a-z0-9_]+$/);
  }
});
