/** What the daemon does so that it lives, and does not wait for itself, where memory is short. */
import { readdirSync, readFileSync } from 'node:fs';
import t from 'tap';
import { Daemon } from '../helpers/daemon.js';
import { makeSparseFile, TempDir } from '../helpers/temp.js';
import { until } from '../helpers/until.js';

t.setTimeout(120_000);

const CAP_SYS_RESOURCE = 24n;
/** PF_MEMALLOC_NOIO and PF_LOCAL_THROTTLE. */
const MARK = 0x80000 | 0x100000;

const statusField = (pid: number | 'self', field: string): string =>
  new RegExp(`^${field}:\\s*(.*)$`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? '';
const maySpendResources = ((BigInt(`0x${statusField('self', 'CapEff')}`) >> CAP_SYS_RESOURCE) & 1n) === 1n;
const oomScore = (pid: number): number => Number(readFileSync(`/proc/${pid}/oom_score_adj`, 'utf8'));

function isMarked(pid: number, thread: string): boolean {
  const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, 'latin1');
  return (Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[6]) & MARK) === MARK;
}

t.test('every thread is marked as an I/O flusher, or the log says why none is', async (t) => {
  using files = new TempDir();
  await using daemon = await Daemon.start({ devices: [makeSparseFile(files.file('a'), 1 << 20)] });
  const threads = readdirSync(`/proc/${daemon.pid}/task`);
  t.ok(threads.length > 5, 'reactors, and the threads that Node has before any code runs');
  if (maySpendResources) t.ok(threads.every((thread) => isMarked(daemon.pid, thread)));
  else {
    t.notOk(threads.some((thread) => isMarked(daemon.pid, thread)));
    t.match(daemon.process.stderr, /not an I\/O flusher \(PR_SET_IO_FLUSHER takes CAP_SYS_RESOURCE/);
  }
});

t.test(
  'while a device is bound, the daemon is among the last to be killed for memory, where it may',
  async (t) => {
    using files = new TempDir();
    await using daemon = await Daemon.start();
    const before = oomScore(daemon.pid);
    const { number } = await daemon.client.find({ file: makeSparseFile(files.file('a'), 1 << 20) });
    t.equal(oomScore(daemon.pid), maySpendResources ? Math.min(before, -900) : before);
    await daemon.client.clear(number);
    await until('the score is what it was', async () => oomScore(daemon.pid) === before || undefined);
  },
);

t.test('with --mlock what the daemon has used stays in memory, or it says why that can’t be', async (t) => {
  using files = new TempDir();
  await using daemon = await Daemon.start({
    devices: [makeSparseFile(files.file('a'), 1 << 20)],
    args: ['--mlock'],
  });
  // Whole mappings count; they are in memory as far as they were used.
  t.ok(Number.parseInt(statusField(daemon.pid, 'VmLck'), 10) > 10_000, 'kB: the engine alone is larger');
  await using poor = Daemon.launch(files, {
    args: ['--mlock'],
    under: ['setpriv', '--bounding-set=-all', '--inh-caps=-all', 'prlimit', '--memlock=65536'],
  });
  const { status, stderr } = await poor.process.wait(60_000);
  t.equal(status, 1);
  t.match(stderr, /^nbdloopd: memory can't be locked \((ENOMEM|EPERM)\): --mlock needs CAP_IPC_LOCK.*$/m);
});
