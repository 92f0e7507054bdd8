import t from 'tap';
import { A_LANE, FileLane, mountOf, mountPointsIn } from '../../../driver/io/file-lanes.js';

const MOUNTS = `22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw
25 22 0:5 / /mnt/a rw - fuse.x x rw
26 25 0:6 / /mnt/a/b\\040c rw - nfs x:/ rw
`;

t.test('a path belongs to the longest mount point that it is below', async (t) => {
  const points = mountPointsIn(MOUNTS);
  t.strictSame(points, ['/', '/mnt/a', '/mnt/a/b c']);
  t.equal(mountOf('/mnt/a/x', points), '/mnt/a');
  t.equal(mountOf('/mnt/a', points), '/mnt/a');
  t.equal(mountOf('/mnt/ab', points), '/');
  t.equal(mountOf('/mnt/a/b c/d', points), '/mnt/a/b c');
  t.equal(mountOf('/elsewhere', []), '/');
});

t.test('four operations of a file system run at a time, the others in their turn', async (t) => {
  const lane = FileLane.of('/');
  let underWay = 0;
  let most = 0;
  const ends: (() => void)[] = [];
  const operations = Array.from({ length: 6 }, (_, i) =>
    lane.run(async () => {
      most = Math.max(most, ++underWay);
      await new Promise<void>((resolve) => ends.push(resolve));
      underWay--;
      return i;
    }),
  );
  while (ends.length < 4) await new Promise(setImmediate);
  t.equal(underWay, 4);
  for (let i = 0; i < 6; i++) {
    while (ends.length <= i) await new Promise(setImmediate);
    ends[i]?.();
  }
  t.strictSame(await Promise.all(operations), [0, 1, 2, 3, 4, 5]);
  t.equal(most, 4);
});

t.test(
  'behind four that hang a fifth is refused with the name of the file system; a close waits',
  async (t) => {
    const lane = FileLane.of('/');
    const ends: (() => void)[] = [];
    const hanging = Array.from({ length: 4 }, () =>
      lane.run(() => new Promise<void>((resolve) => ends.push(resolve))),
    );
    const close = lane.runLater(async () => 'closed');
    t.match(await lane.run(async () => 'opened').catch((error: unknown) => error), {
      errno: 'EAGAIN',
      message: /^4 operations on files on \/ /,
    });
    for (const end of ends) end();
    await Promise.all(hanging);
    t.equal(await close, 'closed');
  },
);

t.test('how many run at a time can be said, and a refusal names the option', async (t) => {
  t.teardown(() => FileLane.limit(A_LANE));
  FileLane.limit(1);
  const lane = FileLane.of('/');
  let end = (): void => {};
  const hanging = lane.run(() => new Promise<void>((resolve) => (end = resolve)));
  t.match(await lane.run(async () => 'opened').catch((error: unknown) => error), {
    message: /^1 operations on files on \/ have .*\(--file-operations 1\)$/,
  });
  end();
  await hanging;
});

t.test('who has a turn asks for no other: as many as there are would wait for each other', async (t) => {
  const [one, other] = [FileLane.of('/'), FileLane.of('/proc/self')];
  for (const lane of [one, other]) {
    await t.rejects(
      one.run(() => lane.run(async () => 1)),
      /within another one/,
    );
    await t.rejects(
      one.run(() => lane.runLater(async () => 1)),
      /within another one/,
    );
  }
  let later: Promise<number> | undefined;
  let go = (): void => {};
  await one.run(async () => {
    later = new Promise<void>((resolve) => {
      go = resolve;
    }).then(() => one.run(async () => 2));
  });
  go();
  t.equal(await later, 2, 'what was begun within one, and asks after it, is none');
});
