import { readFileSync } from 'node:fs';
import t from 'tap';
import { Daemon } from '../helpers/daemon.js';

t.setTimeout(120_000);

const MIB = 1024;

/** KiB of the program's break of a process, resident: what malloc did not map. */
function heapOf(pid: number): number {
  const [, heap = ''] = readFileSync(`/proc/${pid}/smaps`, 'latin1').split('[heap]\n');
  return Number(/^Rss:\s*(\d+) kB/m.exec(heap)?.[1]);
}

t.test('devices that come and go take no memory for maps that nobody wrote to', async (t) => {
  await using daemon = await Daemon.start({ args: ['--log-level', 'error'] });
  const churn = async (rounds: number): Promise<void> => {
    for (let round = 0; round < rounds; round++) {
      await Promise.all(Array.from({ length: 20 }, (_, i) => daemon.client.add(100 + i)));
      await Promise.all(Array.from({ length: 20 }, (_, i) => daemon.client.remove(100 + i)));
    }
  };
  await churn(30);
  const before = heapOf(daemon.pid);
  t.ok(before > 0, 'the heap is found');
  let most = before;
  for (let i = 0; i < 20; i++) {
    await churn(5);
    most = Math.max(most, heapOf(daemon.pid));
  }
  t.comment(`heap ${before} -> ${most} KiB`);
  t.ok(most < before + 16 * MIB, 'the heap stays', { before, most });
});
