import type { Test } from 'tap';
import { LockOrder } from '../../driver/locks/lock-order.js';

/**
 * A lock-order validator whose reports fail the test, each with its full text; so does a lock that is still held
 * or waited for when the test is over.
 */
export function checkedLockOrder(t: Test): LockOrder {
  const order = new LockOrder({ onReport: (report) => t.fail(report.message, { report: report.text }) });
  t.teardown(() => {
    const before = order.reports.length;
    order.expectIdle();
    // Past its end a test takes no more assertions: a late report must still fail the run.
    const late = order.reports.slice(before);
    if (late.length > 0) throw new AggregateError(late, late.map((report) => report.text).join('\n'));
  });
  return order;
}
