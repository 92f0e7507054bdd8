/** What a daemon holds of the kernel's CPU latency while a client asks one thing at a time. */
import { closeSync, openSync } from 'node:fs';
import t from 'tap';
import { CPU_LATENCY } from '../../driver/cpu-latency.js';
import { Daemon } from '../helpers/daemon.js';
import { nbdJob, startFio } from '../helpers/fio.js';
import { openFiles } from '../helpers/open-files.js';
import { makeSparseFile, TempDir } from '../helpers/temp.js';
import { skipUnless } from '../helpers/tools.js';
import { until } from '../helpers/until.js';

t.setTimeout(180_000);
const skip = skipUnless('fio');
const MIB = 1 << 20;

const canHold = (): boolean => {
  try {
    closeSync(openSync(CPU_LATENCY, 'r+'));
    return true;
  } catch {
    return false;
  }
};

const isHeld = (daemon: Daemon): boolean => openFiles(daemon.pid).includes(CPU_LATENCY);

/** Whether the daemon ever held it while fio read one block at a time for three seconds. */
async function wasHeldUnderFio(daemon: Daemon): Promise<boolean> {
  await using fio = startFio(
    nbdJob(daemon.uri(), { rw: 'randread', bs: '4k', iodepth: 1, size: '16m', runtime: 3, time_based: true }),
  );
  let held = false;
  let isOver = false;
  const ended = fio.wait(60_000).finally(() => {
    isOver = true;
  });
  await until('fio is over', async () => {
    held ||= isHeld(daemon);
    return isOver || undefined;
  });
  t.equal((await ended).status, 0);
  return held;
}

t.test('asked to, it keeps processors awake as long as the client is busy', { skip }, async (t) => {
  using files = new TempDir();
  const image = makeSparseFile(files.file('disk.img'), 16 * MIB);
  if (canHold()) {
    await using daemon = await Daemon.start({ devices: [image], args: ['--keep-awake'] });
    t.equal(isHeld(daemon), false);
    t.equal(await wasHeldUnderFio(daemon), true);
    await until('it is released', async () => (isHeld(daemon) ? undefined : true));
  } else {
    await using refused = Daemon.launch(files, { devices: [image], args: ['--keep-awake'] });
    const { status, stderr } = await refused.process.wait(60_000);
    t.equal(status, 1);
    t.match(stderr, /^nbdloopd: .*cpu_dma_latency.* \((ENOENT|EACCES|EPERM)\)$/m);
  }
});

t.test('not asked to, it does not', { skip }, async (t) => {
  using files = new TempDir();
  const image = makeSparseFile(files.file('disk.img'), 16 * MIB);
  await using daemon = await Daemon.start({ devices: [image] });
  t.equal(await wasHeldUnderFio(daemon), false);
});
