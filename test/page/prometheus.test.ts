import { readFileSync } from 'node:fs';
import t from 'tap';
import { PagedDaemon } from '../helpers/paged-daemon.js';
import { run } from '../helpers/process.js';
import { skipUnless, tool } from '../helpers/tools.js';

t.setTimeout(60_000);
const skip = skipUnless('promtool');

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
