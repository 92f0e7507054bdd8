/** A daemon under a client that asks one thing at a time, and what it holds of the kernel's CPU latency meanwhile. */
import { accessSync, constants, readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import t from 'tap';
import { Daemon } from '../helpers/daemon.js';
import { nbdJob, startFio } from '../helpers/fio.js';
import { openFiles } from '../helpers/open-files.js';
import { makeSparseFile, TempDir } from '../helpers/temp.js';
import { skipUnless } from '../helpers/tools.js';
import { until } from '../helpers/until.js';

t.setTimeout(180_000);
const skip = skipUnless('fio');

const CPU_LATENCY = '/dev/cpu_dma_latency';
const DRIVER = '/sys/devices/system/cpu/cpuidle/current_driver';
const MIB = 1 << 20;

const canHold = (): boolean => {
  try {
    accessSync(CPU_LATENCY, constants.R_OK | constants.W_OK);
    return readFileSync(DRIVER, 'utf8').trim() === 'haltpoll';
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
  const ended = fio.wait(60_000);
  let isOver = false;
  void ended.then(() => {
    isOver = true;
  });
  await until('fio is over', async () => {
    held ||= isHeld(daemon);
    return isOver || undefined;
  });
  t.equal((await ended).status, 0);
  return held;
}

t.test(
  'where processors go to the host they are kept awake, as long as the client asks',
  { skip },
  async (t) => {
    using files = new TempDir();
    const image = makeSparseFile(files.file('disk.img'), 16 * MIB);
    const most = String(cpus().length);
    await using daemon = await Daemon.start({ devices: [image], args: ['--keep-awake', most] });
    t.equal(isHeld(daemon), false);
    t.equal(await wasHeldUnderFio(daemon), canHold());
    await until('it is released', async () => (isHeld(daemon) ? undefined : true));
  },
);

t.test('not where it was not to be', { skip }, async (t) => {
  using files = new TempDir();
  const image = makeSparseFile(files.file('disk.img'), 16 * MIB);
  await using daemon = await Daemon.start({ devices: [image], args: ['--keep-awake', '0'] });
  t.equal(await wasHeldUnderFio(daemon), false);
});
