import { readFileSync } from 'node:fs';
import { test } from 'tap';
import { gainOf, LOCK, MECHANISMS, without } from '../../../bench/ablation.js';
import type { ServerResult } from '../../../bench/results.js';
import { selectWorkloads } from '../../../bench/workloads.js';

test('each mechanism can be switched off in the tree as it is compiled now, and has a workload of its own', async (t) => {
  t.match(without(LOCK, readFileSync(`dist/${LOCK.module}`, 'utf8')), LOCK.to);
  for (const mechanism of MECHANISMS) {
    const text = readFileSync(`dist/${mechanism.module}`, 'utf8');
    t.not(without(mechanism, text), text, mechanism.name);
    t.equal(selectWorkloads([mechanism.workload]).length > 0, true, mechanism.workload);
    t.throws(() => without(mechanism, 'something else'), /is not as the ablation/);
  }
});

test('what a mechanism gains is told by what is measured without it', async (t) => {
  const of = (server: string, requests: number): ServerResult => ({
    server,
    role: 'peer',
    samples: [
      {
        seconds: 1,
        requests,
        bytes: requests * 4096,
        latency: undefined,
        clientCpu: 1,
        clients: 1,
        serverCpu: 500_000,
        peak: 1,
        toggleRate: undefined,
      },
    ],
  });
  const [spin] = MECHANISMS;
  const [workload] = selectWorkloads(['read-4k-qd1']);
  if (spin === undefined || workload === undefined) throw new Error('nothing to test');
  const gain = (whole: number, less: number) =>
    gainOf(spin, workload, [of('nbdloop', whole), of('without-spin', less)], 2);
  t.match(gain(120, 100), /spin: 1\.20 times the rate at 0\.83 .*earns its keep/);
  t.match(gain(102, 100), /TOO LITTLE/);
  t.equal(gainOf(spin, workload, [of('nbdloop', 1)], 2), undefined);
});
