import { readFileSync } from 'node:fs';
import t from 'tap';
import { Daemon } from '../helpers/daemon.js';

t.setTimeout(120_000);

/** What garbage that waits for its collection may add, KiB; the maps would add 2 MiB for each device. */
const SLACK = 160 << 10;

/** Resident memory of a process that is no file's, KiB. */
const anonymousOf = (pid: number): number =>
  Number(/^RssAnon:\s*(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]);

t.test('devices that come and go take no memory for maps that nobody wrote to', async (t) => {
  await using daemon = await Daemon.start({ args: ['--log-level', 'error'] });
  const churn = async (rounds: number): Promise<void> => {
    for (let round = 0; round < rounds; round++) {
      await Promise.all(Array.from({ length: 20 }, (_, i) => daemon.client.add(100 + i)));
      await Promise.all(Array.from({ length: 20 }, (_, i) => daemon.client.remove(100 + i)));
    }
  };
  await churn(30);
  const before = anonymousOf(daemon.pid);
  t.ok(before > 0, 'memory is found');
  let most = before;
  for (let i = 0; i < 20; i++) {
    await churn(5);
    most = Math.max(most, anonymousOf(daemon.pid));
  }
  t.comment(`${before} -> ${most} KiB`);
  t.ok(most < before + SLACK, 'memory stays', { before, most });
});
