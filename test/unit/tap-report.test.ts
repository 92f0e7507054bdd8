import t from 'tap';
import { type Counts, exitStatus, TapReport, total } from '../runner/tap-report.js';

const DOCUMENT = `TAP version 14
# Subtest: a test
    ok 1 - one
    not ok 2 - two
      ---
      found: 1
      wanted: 2
      ...
    1..2
not ok 1 - a test
ok 2 - not here # SKIP no fio
ok 3 - later # TODO
# Subtest: one with a wrong plan
    ok 1 - fine
    1..2
not ok 4 - one with a wrong plan
# Subtest: throws where it fails
    1..0
ok 5 - throws where it fails
1..5
`;

function read(document: string): { counts: Counts; lines: string[] } {
  const report = new TapReport('a file');
  for (const piece of document.match(/[\s\S]{1,7}/g) ?? []) report.write(piece);
  report.end();
  return { counts: report.counts, lines: report.lines };
}

t.test('assertions count once, and a subtest that failed by itself counts as a failure', async (t) => {
  const { counts, lines } = read(DOCUMENT);
  t.strictSame(counts, { passed: 3, failed: 2, skipped: 2 });
  t.match(lines, [
    /FAILED: a file: a test > two/,
    /found: 1/,
    /wanted: 2/,
    /skipped: a file: not here # no fio/,
    /skipped: a file: later/,
    /FAILED: a file: one with a wrong plan/,
  ]);
});

t.test('a document that is cut short or bails out fails', async (t) => {
  for (const document of ['TAP version 14\nok 1 - a\n', 'ok 1 - a\n1..2\n', 'ok 1\nBail out! no disk\n'])
    t.equal(read(document).counts.failed, 1, JSON.stringify(document));
  t.match(read('ok 1\nBail out! no disk\n').lines, [/FAILED: a file: bailed out: no disk/]);
});

t.test('a file without tests is skipped, not passed', async (t) => {
  const { counts, lines } = read('TAP version 14\n1..0 # SKIP no kernel\n');
  t.strictSame(counts, { passed: 0, failed: 0, skipped: 1 });
  t.match(lines, [/skipped: a file # SKIP no kernel/]);
  for (const document of ['', 'TAP version 14\n1..0\n'])
    t.strictSame(read(document).counts, { passed: 0, failed: 0, skipped: 1 });
});

t.test('a run fails when something failed, nothing passed, or what must not be skipped was', async (t) => {
  const counts = { passed: 5, failed: 0, skipped: 0 };
  for (const requireAll of [false, true]) {
    t.equal(exitStatus(counts, requireAll), 0);
    t.equal(exitStatus({ ...counts, failed: 1 }, requireAll), 1);
    t.equal(exitStatus({ ...counts, passed: 0 }, requireAll), 1);
  }
  t.equal(exitStatus({ ...counts, skipped: 1 }, false), 0);
  t.equal(exitStatus({ ...counts, skipped: 1 }, true), 1);
  t.strictSame(total([counts, { ...counts, skipped: 1 }]), { passed: 10, failed: 0, skipped: 1 });
});
