/** A clear that is left to the last close is never forgotten, the two ways in which it once was; nor is one too many. */
import t from 'tap';
import { Adversary, type Pause } from './adversary.js';
import { RealDevice } from './real-device.js';

const errnoOf = (operation: Promise<unknown>): Promise<string | undefined> =>
  operation.then(
    () => 'none',
    (error: { errno?: string }) => error.errno,
  );

/** Lets everybody go on, but for the first one that comes where `next` says. */
class Stop {
  #armed: string | undefined;
  #stopped: () => void = () => {};
  #proceed: () => void = () => {};

  readonly pause: Pause = async (label) => {
    if (label !== this.#armed) return;
    this.#armed = undefined;
    this.#stopped();
    await new Promise<void>((resolve) => {
      this.#proceed = resolve;
    });
  };

  /** Resolves when somebody has come to `where` and stands there. */
  next(where: string): Promise<void> {
    this.#armed = where;
    return new Promise((resolve) => {
      this.#stopped = resolve;
    });
  }

  goOn(): void {
    this.#proceed();
  }
}

async function bench() {
  const stop = new Stop();
  const adversary = new Adversary(stop.pause);
  const real = new RealDevice(adversary.files, stop.pause);
  await real.add();
  return { stop, adversary, real, device: real.device };
}

t.test('a swap of the file between the last close and its clear does not save the device', async (t) => {
  const { stop, adversary, real, device } = await bench();
  using _adversary = adversary;
  await device.loopConfigure({ file: '/one', readOnly: true, autoclear: true });
  await device.loOpen();
  const beforeClear = stop.next('want validateMutex');
  const closing = device.loRelease();
  await beforeClear;
  await device.loopChangeFd('/two');
  t.match(device.snapshot(), { state: 'bound', file: '/two' });
  stop.goOn();
  await closing;
  t.equal(device.state, 'unbound');
  t.same([...real.files.open.values()], []);
  t.same(real.control.order.reports, []);
});

t.test(
  'a refused clr_fd whose close is the last of what was bound and used meanwhile clears it',
  async (t) => {
    const { stop, adversary, real, device } = await bench();
    using _adversary = adversary;
    await device.loOpen();
    const refused = stop.next('have loMutex');
    const clearing = errnoOf(device.loopClrFd());
    await refused;
    const beforeClose = stop.next('want openMutex');
    stop.goOn();
    await beforeClose;
    await device.loopConfigure({ file: '/one', autoclear: true });
    await device.loRelease();
    t.equal(device.state, 'bound', 'the clearer still counts as an opener');
    stop.goOn();
    t.equal(await clearing, 'ENXIO');
    t.equal(device.state, 'unbound');
    t.same([...real.files.open.values()], []);
    t.same(real.control.order.reports, []);
  },
);

t.test('the close of a clear never takes a file that was bound since', async (t) => {
  const { stop, adversary, real, device } = await bench();
  using _adversary = adversary;
  await device.loopConfigure({ file: '/one' });
  const thawed = stop.next('have freeze');
  const clearing = device.loopClrFd();
  await thawed;
  const beforeClose = stop.next('want openMutex');
  stop.goOn();
  await beforeClose;
  t.match(device.snapshot(), { state: 'unbound', openers: 1 });
  await device.loopConfigure({ file: '/two', autoclear: true });
  stop.goOn();
  t.equal(await clearing, 'cleared');
  t.match(device.snapshot(), { state: 'bound', file: '/two', openers: 0 }, 'it waits for its first user');
  t.same([...real.files.open.values()], ['/two']);
  t.same(real.control.order.reports, []);
});
