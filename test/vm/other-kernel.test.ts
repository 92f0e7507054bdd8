/**
 * What matters most, on the kernels that the test run is not about: 6.12, or with `npm run test:vm -- --kernel 6.12`,
 * which runs everything else on that, 6.1.
 */
import t from 'tap';
import * as devices from './device-scripts.js';
import { skipUnlessGuest } from './guest-available.js';
import { type GuestTest, guestTests } from './guest-tests.js';
import { KERNELS, runKernel } from './kernel-image.js';

t.setTimeout(1_600_000);

const TESTS: readonly GuestTest[] = [
  { title: 'attached by netlink over four sockets, and verified', script: devices.OVER_FOUR_SOCKETS },
  { title: 'attached by nbd-client, and not twice', script: devices.BY_NBD_CLIENT },
  { title: 'sixteen devices attach at once, each its own', script: devices.SIXTEEN },
  { title: 'an idle device is detached when its daemon ends', script: devices.ENDS },
];

for (const kernel of KERNELS.filter((version) => version !== runKernel())) {
  const skip = await skipUnlessGuest({ version: kernel }, 'nbd-client', 'fio', 'curl');
  t.test(`devices in Linux ${kernel}`, { skip }, (t) =>
    guestTests(t, TESTS, { kernel, before: 'start_daemon', after: 'wait $daemon' }),
  );
}
