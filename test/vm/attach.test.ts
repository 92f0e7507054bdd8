import t from 'tap';
import { skipUnlessQemu } from './guest-available.js';
import { assertTests } from './guest-tests.js';
import { scenarios } from './scenarios.js';

t.setTimeout(1_600_000);
const skip = await skipUnlessQemu('nbd-client', 'fio', 'mkfs.ext4', 'e2fsck', 'debugfs');

t.test('a daemon on the host, the stock nbd-client in a guest', { skip }, async (t) => {
  const { outcome, scenarios: all } = await scenarios();
  await assertTests(t, outcome);
  for (const { result, checks } of all) {
    for (const [check, isTrue] of Object.entries(checks)) t.ok(isTrue, check, { output: result.output });
  }
});
