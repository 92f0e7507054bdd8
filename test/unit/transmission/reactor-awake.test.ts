/** When a reactor keeps processors awake: a file in a temporary directory stands for the kernel's. */
import { writeFileSync } from 'node:fs';
import t from 'tap';
import { Cmd } from '../../../server/wire/constants.js';
import { openFiles } from '../../helpers/open-files.js';
import { type BlockClient, ReactorBench, type TestDevice } from '../../helpers/reactor-bench.js';
import { TempDir } from '../../helpers/temp.js';
import type { Ask } from '../../helpers/transmission-client.js';
import { until } from '../../helpers/until.js';

const BLOCK = 4096;
const SIZE = 1 << 20;
const READ = { type: Cmd.READ, offset: 0, length: BLOCK };
/** Started, and answered when it is done; of a file that has not changed, soon. */
const FLUSH = { type: Cmd.FLUSH, offset: 0, length: 0 };

t.setTimeout(120_000);

class Bench implements AsyncDisposable {
  readonly #files = new TempDir();
  readonly file = this.#files.file('latency');
  #reactors: ReactorBench | undefined;

  static async start(): Promise<Bench> {
    const bench = new Bench();
    writeFileSync(bench.file, '');
    bench.#reactors = await ReactorBench.start({ cpuLatencyFile: bench.file });
    return bench;
  }

  get reactors(): ReactorBench {
    if (this.#reactors === undefined) throw new Error('it was not started');
    return this.#reactors;
  }

  connect(device: TestDevice): Promise<BlockClient> {
    return this.reactors.connect(device);
  }

  get timesHeld(): number {
    return openFiles().filter((path) => path === this.file).length;
  }

  get isHeld(): boolean {
    return this.timesHeld > 0;
  }

  /** Clients ask one after the other, then all again, until it is or is not held. */
  async asked(held: boolean, clients: readonly BlockClient[], ask: Ask = READ): Promise<void> {
    const limit = Date.now() + 60_000;
    while (this.isHeld !== held) {
      if (Date.now() > limit) throw new Error('they asked in vain');
      for (let i = 0; i < 200; i++) await Promise.all(clients.map((client) => client.ask(ask)));
    }
  }

  async released(): Promise<void> {
    await until('it is released', async () => (this.isHeld ? undefined : true));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#reactors?.[Symbol.asyncDispose]();
    this.#files[Symbol.dispose]();
  }
}

t.test('as long as the only client asks, and no longer', async (t) => {
  await using bench = await Bench.start();
  const device = await bench.reactors.device(SIZE);
  const client = await bench.connect(device);
  for (let i = 0; i < 10; i++) await client.ask(READ);
  t.equal(bench.isHeld, false, 'a few requests are not worth it');
  await bench.asked(true, [client]);
  await bench.released();
  await bench.asked(true, [client]);
  t.equal(bench.timesHeld, 1);
  client.socket.destroy();
  await client.closed;
  await bench.released();
  t.pass('its end ends it');
});

t.test('not for several that are served from memory', async () => {
  await using bench = await Bench.start();
  const device = await bench.reactors.device(SIZE);
  const first = await bench.connect(device);
  await bench.asked(true, [first]);
  const second = await bench.connect(device);
  await bench.asked(false, [first, second]);
  second.socket.destroy();
  await second.closed;
  await bench.asked(true, [first]);
});

t.test('for several that wait for what was started', async () => {
  await using bench = await Bench.start();
  const device = await bench.reactors.device(SIZE);
  const clients = [await bench.connect(device), await bench.connect(device), await bench.connect(device)];
  await bench.asked(false, clients);
  await bench.asked(true, clients, FLUSH);
  await bench.released();
});

t.test('a reactor that ends lets go', async (t) => {
  await using bench = await Bench.start();
  const device = await bench.reactors.device(SIZE);
  const client = await bench.connect(device);
  await bench.asked(true, [client]);
  await bench.reactors.close();
  t.equal(bench.isHeld, false);
});
