import { test } from 'tap';
import type { Sample } from '../../../bench/measure.js';
import { type Report, toSection } from '../../../bench/report/figures.js';
import { reportHtml } from '../../../bench/report/html.js';
import { replacePart, reportMarkdown } from '../../../bench/report/markdown.js';
import { reportText, table } from '../../../bench/report/text.js';
import { TARGETS } from '../../../bench/targets.js';
import { selectWorkloads, WORKLOADS, withMoreClients } from '../../../bench/workloads.js';

const sample = (requests: number): Sample => ({
  seconds: 1,
  requests,
  bytes: requests * 4096,
  latency: { mean: 80, p50: 75, p99: 300, p999: 900 },
  clientCpu: 950_000,
  clients: 1,
  serverCpu: requests * 5,
  peak: 70_000,
  toggleRate: undefined,
});

const [workload = WORKLOADS[0] as (typeof WORKLOADS)[number]] = selectWorkloads(['read-4k-qd16']);

const report: Report = {
  conditions: {
    date: '2026-01-01T00:00:00.000Z',
    cpu: 'Test <CPU>',
    cores: 2,
    memory: 8 * 1024 ** 3,
    kernel: '6.1.0',
    node: 'v20.0.0',
    fio: 'fio-3.33',
    nbdcopy: '1.14',
    commit: 'abc',
    servers: [{ name: 'nbdkit', version: 'nbdkit 1.32.5' }],
    memoryFileSystem: 'tmpfs',
    diskFileSystem: 'ext2/ext3',
    memorySize: 1024 ** 3,
    diskSize: 4 * 1024 ** 3,
    rounds: 1,
    runtime: 3,
    loadBefore: 0.1,
  },
  results: [
    {
      workload,
      results: [
        { server: 'nbdloop', role: 'ours', samples: [sample(200_000)] },
        { server: 'nbdkit', role: 'peer', samples: [sample(100_000)] },
        { server: 'nbd-server', role: 'peer', samples: [], failure: 'it does not start' },
      ],
    },
  ],
};

test('a section compares, judges and says what failed', async (t) => {
  const [result] = report.results;
  if (result === undefined) throw new Error('no result');
  const section = toSection(result, 2);
  t.equal(section.rows.length, 2);
  t.equal(section.rows[0]?.at(-1), '2.00');
  t.ok(section.rows.every((cells) => cells.length === section.columns.length));
  t.match(section.remarks.join('\n'), /nbd-server failed: it does not start/);
  t.match(section.remarks.join('\n'), /client-bound.*nbdloop, nbdkit/);
  t.equal(section.verdict?.reached, false, 'twice the rate, at the same CPU a request');
});

test('every report states conditions and figures', async (t) => {
  for (const text of [reportText(report), reportMarkdown(report), await reportHtml([report])]) {
    t.match(text, /Linux 6\.1\.0/);
    t.match(text, /200000/);
    t.match(text, /nbdkit 1\.32\.5/);
    t.match(text, /Targets/);
    t.equal(text.split('SHORT (').length - 1, 2, 'a target is told with its workload, and among all targets');
  }
});

test('the page is one file, and text in it cannot become markup', async (t) => {
  const html = await reportHtml([report]);
  t.notMatch(html, /<script[^>]+src=|<link/);
  t.match(html, /Test &lt;CPU&gt;/);
  t.match(html, /new Chart\(/);
});

test('tables replace tables, and the prose around them stays', async (t) => {
  const begin = '<!-- profile: begin (written by `npm run bench -- --markdown`, not by hand) -->';
  const end = '<!-- profile: end -->';
  const page = `before\n${begin}\nold\n${end}\nafter`;
  const once = replacePart(page, 'profile', 'new');
  t.equal(once, `before\n${begin}\n\nnew\n${end}\nafter`);
  t.equal(replacePart(once, 'profile', 'new'), once, 'as often as one likes');
  t.throws(() => replacePart(page, 'bench', 'new'), /no lines/);
});

test('a terminal table lines its figures up to the right', async (t) => {
  t.equal(
    table(
      ['server', 'IOPS'],
      [
        ['a', '5'],
        ['bcdefgh', '12345'],
      ],
    ),
    'server    IOPS\na            5\nbcdefgh  12345',
  );
});

test('workloads are chosen by id, or by part of one', async (t) => {
  t.same(
    selectWorkloads(['read-4k-qd1']).map(({ id }) => id),
    ['read-4k-qd1'],
  );
  t.ok(selectWorkloads(['tcp']).length > 1);
  t.same(new Set(selectWorkloads(['targets']).map(({ id }) => id)), new Set(Object.keys(TARGETS)));
  t.throws(() => selectWorkloads(['nonsense']), /No workload/);
});

test('ids are unique, and every target has its workload', async (t) => {
  const ids = WORKLOADS.map(({ id }) => id);
  t.equal(new Set(ids).size, ids.length);
  for (const id of Object.keys(TARGETS)) t.ok(ids.includes(id), id);
});

test('more clients keep the depth of each', async (t) => {
  const more = withMoreClients(workload);
  t.match(more, { id: 'read-4k-qd16-more-clients', load: { connections: 2, depth: 16 } });
  const [copy = workload] = selectWorkloads(['copy-out']);
  t.equal(withMoreClients(copy), undefined);
});
