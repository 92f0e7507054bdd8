/** The bench measures something: its figures are judged by people, not here. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import t from 'tap';
import type { Report } from '../../bench/report/figures.js';
import { run } from '../helpers/process.js';
import { TempDir } from '../helpers/temp.js';
import { skipUnless } from '../helpers/tools.js';

t.setTimeout(300_000);

const BENCH = resolve('dist/bench/main.js');

t.test(
  'nbdloop and a peer take turns, and every report is written',
  { skip: skipUnless('fio', 'nbdcopy', 'nbdkit') },
  async (t) => {
    using files = new TempDir();
    const reports = [
      ...['--json', files.file('all.json'), '--html', files.file('all.html')],
      ...['--markdown', files.file('all.md')],
    ];
    const few = ['--quick', '--rounds', '2', '--only', 'read-4k-qd16,copy-in', '--peers', 'nbdkit'];
    const ended = await run(process.execPath, [BENCH, ...few, ...reports], { timeoutMs: 240_000 });
    t.equal(ended.status, 0, 'exit status', { ended });
    const report = JSON.parse(readFileSync(files.file('all.json'), 'utf8')) as Report;
    for (const { workload, results } of report.results) {
      for (const { server, samples, failure } of results) {
        t.equal(failure, undefined, `${workload.id}: ${server}`);
        t.equal(samples.length, 2, 'a sample a round');
        for (const sample of samples) {
          t.ok(sample.bytes > 0, 'something was moved');
          t.ok(sample.seconds > 0.9 * report.conditions.runtime, 'for as long as a round is');
          t.ok((sample.serverCpu ?? 0) > 0, 'the server worked');
        }
      }
    }
    t.match(ended.stdout, /^nbdloop +\d+/m);
    t.match(readFileSync(files.file('all.md'), 'utf8'), /\| nbdkit \| \d+/);
    t.match(readFileSync(files.file('all.html'), 'utf8'), /new Chart/);
  },
);

t.test('a name that is none is refused in one sentence', async (t) => {
  for (const args of [
    ['--only', 'nonsense'],
    ['--peers', 'nonsense'],
    ['--check', 'nonsense'],
  ]) {
    const ended = await run(process.execPath, [BENCH, ...args]);
    t.equal(ended.status, 1);
    t.match(ended.stderr, /^bench: No .*nonsense.*: there are .*\.$/m);
  }
});
