import t from 'tap';
import { type Counts, exitStatus, TapReport } from '../runner/tap-report.js';

const DOCUMENT = `TAP version 14
# Subtest: first file
    # Subtest: a test
        ok 1 - one
        not ok 2 - two
        1..2
    not ok 1 - a test
    ok 2 - not here # SKIP no fio
    ok 3 - later # TODO
    1..3
not ok 1 - first file
# Subtest: second file
    ok 1 - fine
    1..1
not ok 2 - second file
# Subtest: third file
    # Subtest: throws where it fails
        1..0
    ok 1 - throws where it fails
    1..1
ok 3 - third file
1..3
`;

function read(document: string): { counts: Counts; lines: string[] } {
  const lines: string[] = [];
  const report = new TapReport((line) => lines.push(line));
  for (const piece of document.match(/[\s\S]{1,7}/g) ?? []) report.write(piece);
  report.end();
  return { counts: report.counts, lines };
}

t.test('assertions count once, and a subtest that failed by itself counts as a failure', async (t) => {
  const { counts, lines } = read(DOCUMENT);
  t.strictSame(counts, { passed: 3, failed: 2, skipped: 2 });
  t.match(lines, [
    /FAILED: .*a test.* two/,
    /skipped: .*not here # no fio/,
    /skipped: .*later/,
    /^not ok first file \(1 passed/,
    /FAILED: second file/,
    /^not ok second file \(1 passed/,
    /^ok third file \(1 passed/,
  ]);
});

t.test('an empty document counts nothing', async (t) => {
  t.strictSame(read('TAP version 14\n1..0\n').counts, { passed: 0, failed: 0, skipped: 0 });
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
});
