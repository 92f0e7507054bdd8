/** Open and release never wait for I/O: with a request stuck both are done in under 50 ms. */
import t, { type Test } from 'tap';
import type { LoopDevice } from '../../../driver/loop/loop-device.js';
import { putReadsToSleep } from '../../helpers/faulty-data-path.js';
import { isPending, LoopBench, MIB, stuckRequest } from '../../helpers/loop-bench.js';
import { NbdSession } from '../../helpers/nbd-session.js';
import { ServedLoops } from '../../helpers/served-loops.js';
import { until } from '../../helpers/until.js';

const LIMIT_MS = 50;
const STYLES = [{ deferred: true }, { deferred: false }] as const;

async function soon(t: Test, what: string, work: () => Promise<unknown>): Promise<void> {
  using stalls = new Stalls();
  const start = performance.now();
  await work();
  const took = performance.now() - start - stalls.milliseconds();
  t.ok(took < LIMIT_MS, `${what} took ${took.toFixed(1)} ms`);
}

/** Time in which this thread had work to do and got no processor, as other work on a busy machine causes it. */
class Stalls implements Disposable {
  #lost = 0;
  #last = performance.now();
  readonly #timer = setInterval(() => this.#look(), 1);

  milliseconds(): number {
    this.#look();
    return this.#lost;
  }

  #look(): void {
    const now = performance.now();
    this.#lost += Math.max(0, now - this.#last - 5);
    this.#last = now;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

/** Looks at every turn of the event loop. */
async function sees(good: () => boolean): Promise<void> {
  while (!good()) await new Promise((resolve) => setImmediate(resolve));
}

for (const style of STYLES) {
  const who = style.deferred ? 'a user' : 'the kernel';
  t.test(`a request is stuck, ${who} opens and closes`, async (t) => {
    await using bench = new LoopBench();
    const device = await bench.bound();
    const finish = stuckRequest(device);
    await soon(t, 'open', () => device.loOpen(style));
    await soon(t, 'release', () => device.loRelease(style));
    t.match(device.snapshot(), { state: 'bound', openers: 0 });
    finish();
  });

  t.test(`a request is stuck, the last close of a device with autoclear is by ${who}`, async (t) => {
    await using bench = new LoopBench();
    const device = await bench.bound({ autoclear: true });
    const finish = stuckRequest(device);
    await soon(t, 'open', () => device.loOpen(style));
    await soon(t, 'release', () => device.loRelease(style));
    await sees(() => device.state === 'rundown');
    const found = await bench.control.findAndConfigure({ file: bench.file('other.img') });
    t.equal(found.number, 1, 'a device that is being cleared is not free');
    await soon(t, 'the open of the kernel', () => device.loOpen({ deferred: false }));
    const opening = device.loOpen();
    t.ok(await isPending(opening), 'a user begins no session on a device half way');
    t.equal(bench.history(device), 'add bind');
    const idle = bench.control.idle();
    t.ok(await isPending(idle));
    finish();
    await Promise.all([opening, idle]);
    t.match(device.snapshot(), { state: 'unbound', openers: 2, file: null });
    t.equal(bench.history(device), 'add bind unbind');
  });

  t.test(`a change waits for a stuck request, the last close is by ${who}`, async (t) => {
    await using bench = new LoopBench();
    const device = await bench.bound({ autoclear: true });
    await device.loOpen();
    const finish = stuckRequest(device);
    const changing = device.loopSetBlockSize(4096);
    await sees(() => device.queue.freezeDepth === 1);
    await soon(t, 'release', () => device.loRelease(style));
    t.equal(device.state, 'bound', 'the clear waits for its turn');
    finish();
    await Promise.all([changing, device.idle()]);
    t.match(device.snapshot(), { state: 'unbound', openers: 0 });
    t.equal(bench.history(device), 'add bind change unbind');
  });

  t.test(`a change elsewhere has validateMutex, the last close is by ${who}`, async (t) => {
    await using bench = new LoopBench();
    const [held, device] = [await bench.bound(), await bench.bound({ autoclear: true })];
    await device.loOpen();
    const finish = stuckRequest(held);
    const changing = held.loopSetBlockSize(4096);
    await sees(() => held.queue.freezeDepth === 1);
    // This clear has validateMutex, and waits for loMutex.
    const clearing = held.loopClrFd();
    await soon(t, 'release', () => device.loRelease(style));
    finish();
    await Promise.all([changing, clearing, bench.control.idle()]);
    t.equal(device.state, 'unbound');
  });
}

t.test('where nothing is to be waited for, the device is unbound when the last close is done', async (t) => {
  await using bench = new LoopBench();
  const device = await bench.bound({ autoclear: true });
  await device.loOpen();
  await device.loRelease();
  t.match(device.snapshot(), { state: 'unbound', openers: 0 });
});

t.test('a clear that a last close left behind tells what went wrong, and nothing else', async (t) => {
  const logged: object[] = [];
  const log = { debug: () => {}, error: (fields: object) => void logged.push(fields) };
  await using bench = new LoopBench({ log });
  const device = await bench.bound({ autoclear: true });
  await device.loOpen();
  const finish = stuckRequest(device);
  await device.loRelease();
  await sees(() => device.state === 'rundown');
  bench.control.events.once('change', () => {
    throw new Error('a listener fails');
  });
  finish();
  await device.idle();
  t.equal(device.state, 'unbound');
  t.match(logged, [{ device: 'loop0' }]);
});

/** Sessions that are open, from the outside. */
const openersAre = (device: LoopDevice, count: number) => sees(() => device.openers === count);

t.test('the same over sockets, with a backend whose reads sleep', async (t) => {
  await using served = await ServedLoops.start({ dataPath: './faulty-data-path.js', reactors: 2 });
  const { bench, socketPath } = served;
  const device = await bench.bound();
  const stuck = await NbdSession.open(socketPath, 'loop0');
  const wake = putReadsToSleep(device.queue.shared);
  const answer = stuck.read(0, 4096);
  await until('the request is in flight', async () => device.queue.inFlight === 1 || undefined);
  let session: NbdSession | undefined;
  await soon(t, 'open', async () => {
    session = await NbdSession.open(socketPath, 'loop0');
  });
  t.equal(session?.size, MIB);
  t.equal(device.openers, 2);
  await soon(t, 'release', async () => {
    session?.leave('disc');
    await openersAre(device, 1);
  });
  t.equal(await device.loopClrFd(), 'deferred');
  await soon(t, 'open for the last time', async () => {
    session = await NbdSession.open(socketPath, 'loop0');
  });
  session?.leave('destroy');
  await openersAre(device, 1);
  wake();
  t.equal((await answer).error, 0, 'the stuck request is answered');
  stuck.leave('disc');
  await openersAre(device, 0);
  await device.idle();
  t.equal(device.state, 'unbound');
});

t.test('a session is the last close, while a request is stuck: its connection ends', async (t) => {
  await using served = await ServedLoops.start();
  const { bench, socketPath } = served;
  const device = await bench.bound({ autoclear: true });
  const session = await NbdSession.open(socketPath, 'loop0');
  const finish = stuckRequest(device, 5);
  await soon(t, 'release', async () => {
    session.leave('disc');
    await sees(() => device.state === 'rundown');
  });
  finish();
  await device.idle();
  t.equal(device.state, 'unbound');
});
