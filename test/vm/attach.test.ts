import t, { type Test } from 'tap';
import { skipUnlessQemu } from './guest-available.js';
import { kernelComplaints } from './kernel-log.js';
import {
  autoclearScenario,
  clearedBehindScenario,
  fileSystemScenario,
  fioScenario,
  type ScenarioResult,
} from './scenarios.js';

t.setTimeout(600_000);
const skip = await skipUnlessQemu('nbd-client', 'fio', 'mkfs.ext4', 'e2fsck', 'debugfs');

function holds(t: Test, { guest, checks, provoked }: ScenarioResult): void {
  t.equal(guest.status, 0, 'exit status of the guest', { console: guest.console });
  for (const [check, isTrue] of Object.entries(checks)) t.ok(isTrue, check, { console: guest.console });
  t.strictSame(kernelComplaints(guest.kernelLog, provoked), [], 'the kernel has nothing to complain of');
}

t.test(
  'ext4 on /dev/nbd0: made, filled, checked, and found whole in the backing file',
  { skip },
  async (t) => {
    holds(t, await fileSystemScenario());
  },
);

t.test('fio verifies /dev/nbd0 at queue depth 16', { skip }, async (t) => {
  holds(t, await fioScenario());
});

t.test(
  'a device cleared behind /dev/nbd0 gives EIO, and works again when bound again',
  { skip },
  async (t) => {
    holds(t, await clearedBehindScenario());
  },
);

t.test('an autoclear device lets its file go when nbd-client disconnects', { skip }, async (t) => {
  holds(t, await autoclearScenario());
});
