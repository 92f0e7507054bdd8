import { fstatSync } from 'node:fs';
import t from 'tap';
import { closeDescriptor, socketPair } from '../../../driver/kernel/netlink/calls.js';
import { KernelLink } from '../../../driver/kernel/netlink/kernel-link.js';
import { NetlinkDevice } from '../../../driver/kernel/netlink-device.js';
import type { ServedEnd } from '../../../driver/kernel/netlink-sockets.js';

/** No kernel has this device: nothing is reconnected. */
const DEVICE = 60_000;

const isOpen = (fd: number): boolean => {
  try {
    fstatSync(fd);
    return true;
  } catch {
    return false;
  }
};

const END: ServedEnd = {
  transmissionFlags: 0,
  closed: new Promise(() => {}),
  part: async () => undefined,
  drop: () => {},
};

t.test('a socket that the kernel gave up before it was taken over is closed, not served', async (t) => {
  const [live, dead] = [socketPair(), socketPair()];
  if (live === undefined || dead === undefined) throw new Error('no socketpair');
  closeDescriptor(dead.kernels);
  t.teardown(() => [live.ours, live.kernels].forEach(closeDescriptor));
  const served: number[] = [];
  const device = new NetlinkDevice(
    {
      device: DEVICE,
      exportName: `loop${DEVICE}`,
      binding: 'b',
      size: 4096,
      blockSize: 512,
      connections: 2,
      timeout: 30,
      isLimited: false,
      deadTimeout: 30,
    },
    {
      link: new KernelLink(),
      daemonId: 'test',
      serve: async (_target, { fd }) => {
        served.push(fd);
        return END;
      },
      refuse: () => END,
      log: { info: () => {}, error: () => {} },
    },
  );
  const leftover = new Uint8Array(0);
  await device.resume([dead, live].map(({ ours }) => ({ fd: ours, leftover })));
  t.strictSame(served, [live.ours]);
  t.notOk(isOpen(dead.ours));
});
