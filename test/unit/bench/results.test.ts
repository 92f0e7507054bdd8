import { test } from 'tap';
import type { Sample } from '../../../bench/measure.js';
import { compare, floorShare, judge, type ServerResult, summarize } from '../../../bench/results.js';

/** One second of 4 KiB requests; CPU in microseconds. */
const sample = (requests: number, serverCpu: number, clientCpu = 500_000): Sample => ({
  seconds: 1,
  requests,
  bytes: requests * 4096,
  latency: { mean: 10, p50: 9, p99: 30, p999: 90 },
  clientCpu,
  clients: 1,
  serverCpu,
  peak: 60_000,
  toggleRate: undefined,
});

const result = (server: string, role: ServerResult['role'], samples: Sample[]): ServerResult => ({
  server,
  role,
  samples,
});

const summaryOf = (outcome: ServerResult) => {
  const summary = summarize(outcome, 2);
  if (summary === undefined) throw new Error('nothing to summarize');
  return summary;
};

const ours = summaryOf(result('nbdloop', 'ours', [sample(200_000, 800_000)]));
const fast = summaryOf(result('fast', 'peer', [sample(100_000, 1_000_000)]));
const lean = summaryOf(result('lean', 'peer', [sample(50_000, 400_000)]));
const ceiling = summaryOf(result('file', 'ceiling', [sample(900_000, 0)]));

test('a summary holds medians over the rounds, and CPU for each request', async (t) => {
  const rounds = [sample(100_000, 500_000), sample(120_000, 480_000), sample(90_000, 540_000)];
  const summary = summaryOf(result('x', 'peer', rounds));
  t.equal(summary.iops, 100_000);
  t.equal(summary.cost, 5);
  t.equal(summary.spread, 0.3);
  t.ok(summary.wide);
  t.equal(summary.clientBusy, 0.5);
  t.equal(summary.machineBusy, 0.5);
  t.equal(summarize(result('y', 'peer', []), 2), undefined);
});

test('a copy counts CPU for each MiB', async (t) => {
  const copy: Sample = {
    ...sample(0, 300_000),
    requests: undefined,
    bytes: 100 * 1024 * 1024,
    latency: undefined,
  };
  const summary = summaryOf(result('x', 'peer', [copy]));
  t.equal(summary.cost, 3000);
  t.equal(summary.iops, undefined);
  t.equal(summary.latency, undefined);
});

test('clients beyond the cores do not make a client look idle', async (t) => {
  const four: Sample = { ...sample(100_000, 400_000, 1_000_000), clients: 4 };
  t.equal(summaryOf(result('x', 'peer', [four])).clientBusy, 0.5);
});

test('the rate is compared with the fastest peer, the CPU with the leanest, the ceilings with nobody', async (t) => {
  t.same(compare([ours, fast, lean, ceiling]), { fastest: 'fast', rate: 2, leanest: 'lean', cpu: 0.5 });
  t.equal(compare([fast, lean]), undefined, 'without nbdloop');
  t.equal(compare([ours, ceiling]), undefined, 'without a peer');
});

test('a target is reached by its rate', async (t) => {
  const comparison = { fastest: 'fast', rate: 2, leanest: 'lean', cpu: 0.9 };
  t.ok(judge({ rate: 2 }, comparison, ours).reached);
  t.notOk(judge({ rate: 2.1 }, comparison, ours).reached);
  t.notOk(judge({ rate: 2, cpu: 0.6 }, comparison, ours).reached, 'and its CPU, where both are asked');
});

test('where the client is the bound, CPU a request decides in place of a rate that is short', async (t) => {
  const bound = { ...ours, clientBusy: 0.97 };
  const comparison = { fastest: 'fast', rate: 1.5, leanest: 'lean', cpu: 0.55 };
  const verdict = judge({ rate: 2 }, comparison, bound);
  t.ok(verdict.reached);
  t.match(verdict.says, /client-bound: CPU 0.55, at most 0.60/);
  t.notOk(judge({ rate: 2 }, { ...comparison, cpu: 0.65 }, bound).reached);
  const driven = judge({ rate: 2 }, { ...comparison, cpu: 0.65 }, bound, {
    driven: { ...comparison, cpu: 0.3 },
  });
  t.ok(driven.reached, 'with more clients, where that was measured');
  t.match(driven.says, /client-bound: CPU 0.65; with more clients rate 1.50, CPU 0.30, at most 0.60/);
  t.notOk(judge({ rate: 2 }, comparison, bound, { driven: { ...comparison, cpu: 0.7 } }).reached);
  t.notOk(judge({ rate: 2 }, comparison, ours).reached, 'a client with time to spare is no excuse');
});

test('a share of the floor is asked for besides, and what the floor cannot reach is not', async (t) => {
  const comparison = compare([ours, fast, lean]);
  if (comparison === undefined) throw new Error('nothing to compare');
  const floorOf = (requests: number, serverCpu: number) =>
    floorShare([ours, fast, summaryOf(result('floor-file', 'floor', [sample(requests, serverCpu)]))]);
  t.equal(floorShare([ours, fast]), undefined);
  t.equal(floorShare([fast, ceiling]), undefined);

  const near = floorOf(210_000, 400_000);
  t.match(near, { rate: 200 / 210, reach: 2.1 });
  t.ok(near && judge({ rate: 2 }, comparison, ours, { floor: near }).reached, 'nearly as fast');

  const lean2 = floorOf(400_000, 1_400_000);
  t.ok(lean2 && judge({ rate: 2 }, comparison, ours, { floor: lean2 }).reached, 'or nearly as lean');

  const far = floorOf(400_000, 400_000);
  t.notOk(far && judge({ rate: 2 }, comparison, ours, { floor: far }).reached, 'neither');

  const low = floorOf(190_000, 700_000);
  const verdict = low && judge({ rate: 3 }, comparison, ours, { floor: low });
  t.ok(verdict?.reached, 'ahead of the peers is enough where the floor has no more');
  t.match(verdict?.says, /the floor itself has 1\.90 of 3\.00/);
});
