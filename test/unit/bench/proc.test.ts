import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'tap';
import {
  parseStat,
  parseStatusSize,
  processTree,
  treeCpu,
  treePeak,
  treeResident,
} from '../../../bench/system/proc.js';

test('times are read past a name that holds spaces and parentheses', async (t) => {
  const stat =
    '8847 (evil) name (x)) S 1 8847 8847 0 -1 4194368 120 30 0 0 150 250 7 13 20 0 1 0 3000 15196160 310';
  t.same(parseStat(stat), { own: 4_000_000, reaped: 200_000 });
});

test('a size of /proc/PID/status is in KiB, and 0 where the line is missing', async (t) => {
  const status = 'Name:\tnbdkit\nVmPeak:\t  120312 kB\nVmHWM:\t   13000 kB\nVmRSS:\t    4500 kB\n';
  t.equal(parseStatusSize(status, 'VmHWM'), 13_000);
  t.equal(parseStatusSize(status, 'VmRSS'), 4_500);
  t.equal(parseStatusSize(status, 'VmSwap'), 0);
});

test('the CPU of a child counts while it runs and after it ended', async (t) => {
  // The shell says so when its child, which burns CPU, has ended and been waited for.
  const burn = `${process.execPath} -e 'const end = Date.now() + 300; while (Date.now() < end);'`;
  const shell = spawn('sh', ['-c', `${burn}; echo ended; read -r line`], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  t.teardown(() => shell.stdin.end('\n'));
  const pid = shell.pid ?? 0;
  await once(shell.stdout, 'data');
  t.same(processTree(pid), [pid], 'the child is gone');
  t.ok(treeCpu(pid) >= 100_000, `its microseconds stay: ${treeCpu(pid)}`);
  t.ok(treePeak(pid) >= treeResident(pid), 'the peak is no less than the present size');
  t.ok(treeResident(pid) > 0);
});

test('the tree of a process holds its children', async (t) => {
  const shell = spawn('sh', ['-c', 'sleep 60 & echo $!; wait'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = await once(shell.stdout, 'data');
  const child = Number(String(line));
  t.teardown(() => {
    process.kill(child);
  });
  t.same(processTree(shell.pid ?? 0), [shell.pid, child]);
});
