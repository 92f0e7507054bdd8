import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import t from 'tap';
import { LockOrder } from '../../../driver/locks/lock-order.js';
import { LoopBackend } from '../../../driver/queue/queue-rq.js';
import { RequestQueue } from '../../../driver/queue/request-queue.js';
import { DeviceState, LaneWord, laneWord, MAX_LANES, Num, Word } from '../../../driver/queue/slots.js';
import { until } from '../../helpers/until.js';

const urlOf = (module: string): string => JSON.stringify(new URL(module, import.meta.url).href);

const newQueue = (onThaw: () => void = () => {}): RequestQueue =>
  new RequestQueue({ order: new LockOrder(), name: 'loop0', onThaw });

const STATE = {
  state: DeviceState.BOUND,
  fd: 7,
  flags: 1,
  blockSize: 4096,
  dioAlignment: 512,
  offset: 512,
  size: 1024,
  generation: 3,
};

/** True when the promise is still pending after every microtask and one turn of the event loop. */
async function isPending(promise: Promise<unknown>): Promise<boolean> {
  const pending = Symbol('pending');
  const turn = new Promise((resolve) => setTimeout(resolve, 20, pending));
  return (await Promise.race([promise, turn])) === pending;
}

/** The data side's protocol, spelled out a second time on purpose: a test that shared the code could not fail. */
const HAMMER = `
  const { workerData } = require('node:worker_threads');
  const { shared, inFlight, depth, mark, stop, served, control } = workerData;
  const words = new Int32Array(shared), flags = new Int32Array(control);
  let done = 0;
  while (Atomics.load(flags, stop) === 0) {
    Atomics.add(words, inFlight, 1);
    if (Atomics.load(words, depth) !== 0) {
      if (Atomics.sub(words, inFlight, 1) === 1) Atomics.notify(words, inFlight);
      continue;
    }
    Atomics.add(flags, mark, 1);
    for (let i = 0; i < 50; i++) Atomics.load(flags, mark);
    Atomics.sub(flags, mark, 1);
    if (++done === 1) Atomics.add(flags, served, 1);
    if (Atomics.sub(words, inFlight, 1) === 1 && Atomics.load(words, depth) !== 0) Atomics.notify(words, inFlight);
  }
  require('node:worker_threads').parentPort.postMessage(done);
`;

t.test('an idle queue freezes at once, and thaws once', async (t) => {
  let thaws = 0;
  const queue = newQueue(() => thaws++);
  const frozen = await queue.freeze();
  t.equal(queue.freezeDepth, 1);
  frozen.thaw();
  frozen.thaw();
  t.equal(queue.freezeDepth, 0);
  t.equal(thaws, 1);
});

t.test('freezes nest: only the last thaw opens the gate', async (t) => {
  let thaws = 0;
  const queue = newQueue(() => thaws++);
  const outer = await queue.freeze();
  const inner = await queue.freeze();
  outer.thaw();
  t.equal(queue.freezeDepth, 1);
  t.equal(thaws, 0);
  inner.thaw();
  t.equal(thaws, 1);
});

t.test('a freeze waits for requests on every lane, also on the thread it runs on', async (t) => {
  const queue = newQueue();
  const words = new Int32Array(queue.shared);
  const lanes = [0, 3, MAX_LANES - 1].map((lane) => laneWord(lane) + LaneWord.IN_FLIGHT);
  for (const lane of lanes) Atomics.store(words, lane, 2);
  const freezing = queue.freeze();
  for (const lane of lanes) {
    Atomics.sub(words, lane, 1);
    Atomics.notify(words, lane);
    t.ok(await isPending(freezing), 'one request of this lane is still in flight');
    Atomics.sub(words, lane, 1);
    Atomics.notify(words, lane);
  }
  const frozen = await freezing;
  t.equal(queue.inFlight, 0);
  frozen.thaw();
});

t.test('an aborted freeze opens the gate again', async (t) => {
  let thaws = 0;
  const queue = newQueue(() => thaws++);
  const words = new Int32Array(queue.shared);
  Atomics.store(words, laneWord(0), 1);
  const abort = new AbortController();
  const freezing = queue.freeze({ signal: abort.signal });
  t.equal(queue.freezeDepth, 1);
  abort.abort(new Error('the caller is gone'));
  await t.rejects(freezing, /the caller is gone/);
  t.equal(queue.freezeDepth, 0);
  t.equal(thaws, 1);
  await t.rejects(queue.freeze({ signal: abort.signal }), /the caller is gone/, 'aborted before it began');
  t.equal(queue.freezeDepth, 0);
});

t.test('what a lost thread had counted in can be given up', async (t) => {
  const queue = newQueue();
  Atomics.store(new Int32Array(queue.shared), laneWord(5), 3);
  const freezing = queue.freeze();
  t.ok(await isPending(freezing));
  queue.abandonLane(5);
  (await freezing).thaw();
});

t.test('state is published only while frozen', async (t) => {
  const queue = newQueue();
  const words = new Int32Array(queue.shared);
  const nums = new Float64Array(queue.shared);
  t.equal(words[Word.STATE], DeviceState.UNBOUND);
  t.equal(words[Word.FD], -1);
  const frozen = await queue.freeze();
  frozen.publish(STATE);
  t.equal(words[Word.STATE], DeviceState.BOUND);
  t.equal(words[Word.FD], 7);
  t.equal(words[Word.FLAGS], 1);
  t.equal(words[Word.BLOCK_SIZE], 4096);
  t.equal(words[Word.FILE_GENERATION], 3);
  t.equal(nums[Num.OFFSET], 512);
  t.equal(nums[Num.SIZE], 1024);
  frozen.thaw();
  t.throws(() => frozen.publish(STATE), /not frozen/);
});

t.test('what freezes take is remembered', async (t) => {
  const queue = newQueue();
  t.same(queue.freezeTimes.summary(), { count: 0, p50: 0, p99: 0, max: 0 });
  for (const wait of [0, 0, 0, 20]) {
    const frozen = await queue.freeze();
    await new Promise((resolve) => setTimeout(resolve, wait));
    frozen.thaw();
  }
  const { count, p50, p99, max } = queue.freezeTimes.summary();
  t.equal(count, 4);
  t.ok(max >= 19 && p99 === max, 'the longest');
  t.ok(p50 > 0 && p50 <= max);
});

t.test('who froze, for how long, and how many requests waited is remembered, the latest first', async (t) => {
  const order = new LockOrder();
  const queue = new RequestQueue({ order, name: 'loop0', onThaw: () => {} });
  const backend = new LoopBackend(queue.shared, 2);
  t.same(queue.freezes.list(), []);
  await order.task('loopSetDio loop0', async () => {
    const frozen = await queue.freeze();
    t.notOk(backend.enter());
    t.notOk(backend.enter());
    t.match(queue.freezes.list(), [{ number: 1, held: null, waited: 2, drained: Number }]);
    t.ok(queue.freezes.isFrozen);
    frozen.thaw();
  });
  t.ok(backend.enter());
  await order.task('loopClrFd loop0', async () => {
    const freezing = queue.freeze();
    t.match(queue.freezes.list()[0], { number: 2, drained: null, held: null });
    backend.exit();
    (await freezing).thaw();
  });
  const [second, first] = queue.freezes.list();
  t.match(first, { number: 1, by: /^loopSetDio loop0/, waited: 2 });
  t.match(second, { number: 2, by: /^loopClrFd loop0/, waited: 0 });
  t.ok((first?.held ?? -1) >= (first?.drained ?? 0), 'held until the thaw');
  t.notOk(queue.freezes.isFrozen);
  t.equal(queue.freezes.count, 2);
});

t.test('`await using` thaws also when the work throws', async (t) => {
  const queue = newQueue();
  await t.rejects(async () => {
    await using _frozen = await queue.freeze();
    throw new Error('half way');
  }, /half way/);
  t.equal(queue.freezeDepth, 0);
});

t.test('no request of another thread runs while the queue is frozen', async (t) => {
  const queue = newQueue();
  const control = new SharedArrayBuffer(16);
  const flags = new Int32Array(control);
  const [MARK, STOP, SERVED] = [0, 1, 2];
  const workers = [0, 1].map(
    (lane) =>
      new Worker(HAMMER, {
        eval: true,
        workerData: {
          shared: queue.shared,
          control,
          inFlight: laneWord(lane) + LaneWord.IN_FLIGHT,
          depth: Word.FREEZE_DEPTH,
          mark: MARK,
          stop: STOP,
          served: SERVED,
        },
      }),
  );
  await until('both threads serve', async () => Atomics.load(flags, SERVED) === 2 || undefined);
  const done = workers.map((worker) => once(worker, 'message'));
  let intruders = 0;
  const ROUNDS = 500;
  for (let round = 0; round < ROUNDS; round++) {
    const frozen = await queue.freeze();
    for (let look = 0; look < 200; look++) intruders += Atomics.load(flags, MARK);
    frozen.thaw();
    if (round % 5 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  Atomics.store(flags, STOP, 1);
  const counts = (await Promise.all(done)).map(([count]) => count as number);
  t.equal(intruders, 0, `${ROUNDS} freezes against ${counts.join(' + ')} requests`);
  t.ok(
    counts.every((count) => count > 0),
    'both threads served requests',
  );
  t.equal(queue.inFlight, 0);
});

t.test('a freeze alone keeps the process alive, and is woken by another thread', async (t) => {
  const script = `
    import { Worker } from 'node:worker_threads';
    import { RequestQueue } from ${urlOf('../../../driver/queue/request-queue.js')};
    import { LockOrder } from ${urlOf('../../../driver/locks/lock-order.js')};
    const queue = new RequestQueue({ order: new LockOrder(), name: 'loop0', onThaw() {} });
    const lane = ${laneWord(2) + LaneWord.IN_FLIGHT};
    Atomics.store(new Int32Array(queue.shared), lane, 1);
    const late = "const { shared, lane } = require('node:worker_threads').workerData, words = new Int32Array(shared);" +
      "setTimeout(() => { if (Atomics.sub(words, lane, 1) === 1) Atomics.notify(words, lane); }, 200);";
    const worker = new Worker(late, { eval: true, execArgv: [], workerData: { shared: queue.shared, lane } });
    worker.unref();
    queue.freeze().then((frozen) => { frozen.thaw(); console.log('frozen'); process.exit(0); });`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], {
    timeout: 30_000,
  });
  t.equal(stdout, 'frozen\n');
});
