/** Sockets between kernel and daemon: who is served when, and what becomes of them in a handover. */
import t from 'tap';
import type { PartedSocket } from '../../../driver/kernel/attach.js';
import { closeDescriptor, isHungUp, socketPair } from '../../../driver/kernel/netlink/calls.js';
import { NetlinkSockets, type ServedEnd } from '../../../driver/kernel/netlink-sockets.js';

/** `part` of what is served resolves with `leftover`, or never. */
function bench(leftover: Promise<Uint8Array | undefined>) {
  const served: PartedSocket[] = [];
  const end: ServedEnd = {
    transmissionFlags: 1,
    closed: new Promise(() => {}),
    part: () => leftover,
    drop: () => {},
  };
  const sockets = new NetlinkSockets({
    exportName: 'loop0',
    serve: async (socket) => {
      served.push(socket);
      return end;
    },
    isEnding: () => false,
    onEnd: () => {},
    onFailure: (error) => {
      throw error;
    },
  });
  return { sockets, served };
}

const NEVER = new Promise<never>(() => {});
const LIMIT_MS = 20;
const rest = Uint8Array.of(1, 2, 3);

t.test('sockets are given up with what is left over', async (t) => {
  const { sockets, served } = bench(Promise.resolve(rest));
  const kernels = await sockets.open();
  t.strictSame(await sockets.part(60_000), [{ fd: served[0]?.fd, leftover: rest }]);
  t.notOk(isHungUp(kernels));
  [kernels, served[0]?.fd ?? -1].forEach(closeDescriptor);
});

t.test('one that has something under way for too long is dead for the kernel', async (t) => {
  const { sockets, served } = bench(NEVER);
  const kernels = await sockets.open();
  t.strictSame(await sockets.part(LIMIT_MS), []);
  t.ok(isHungUp(kernels));
  [kernels, served[0]?.fd ?? -1].forEach(closeDescriptor);
});

t.test('nothing is served before what is waited for; then all that came, as it came', async (t) => {
  const { sockets, served } = bench(Promise.resolve(rest));
  let release = (): void => {};
  sockets.waitFor(
    new Promise<void>((resolve) => {
      release = resolve;
    }),
  );
  const kernels = await sockets.open();
  const handed = socketPair();
  if (handed === undefined) throw new Error('no socketpair');
  await sockets.take({ fd: handed.ours, leftover: rest });
  t.equal(sockets.count, 2, 'the kernel may have both');
  t.strictSame(served, []);
  release();
  while (served.length < 2) await new Promise((resolve) => setImmediate(resolve));
  t.strictSame(served[1], { fd: handed.ours, leftover: rest });
  [kernels, handed.kernels, ...served.map(({ fd }) => fd)].forEach(closeDescriptor);
});

t.test('what still waits for something is not handed over', async (t) => {
  const { sockets, served } = bench(Promise.resolve(rest));
  sockets.waitFor(NEVER);
  const kernels = await sockets.open();
  t.strictSame(await sockets.part(LIMIT_MS), []);
  t.ok(isHungUp(kernels));
  t.strictSame(served, []);
  closeDescriptor(kernels);
});
