/** When a reactor keeps processors awake: a file in a temporary directory stands for the kernel's. */
import { writeFileSync } from 'node:fs';
import t from 'tap';
import { Cmd } from '../../../server/wire/constants.js';
import { openFiles } from '../../helpers/open-files.js';
import { type BlockClient, ReactorBench, type TestDevice } from '../../helpers/reactor-bench.js';
import { TempDir } from '../../helpers/temp.js';
import { until } from '../../helpers/until.js';

const BLOCK = 4096;
const SIZE = 1 << 20;
const READ = { type: Cmd.READ, offset: 0, length: BLOCK };

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
  async asked(held: boolean, clients: readonly BlockClient[]): Promise<void> {
    const limit = Date.now() + 60_000;
    while (this.isHeld !== held) {
      if (Date.now() > limit) throw new Error('they asked in vain');
      for (let i = 0; i < 200; i++) await Promise.all(clients.map((client) => client.ask(READ)));
    }
  }

  /** Keeps the reactor busy. Rejects when the connection ends. */
  async askUntil(isOver: () => boolean, client: BlockClient): Promise<void> {
    while (!isOver()) await client.ask(READ);
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

t.test('not for several', async (t) => {
  await using bench = await Bench.start();
  const device = await bench.reactors.device(SIZE);
  const first = await bench.connect(device);
  await bench.asked(true, [first]);
  let hasSecond = false;
  const busy = bench.askUntil(() => hasSecond, first);
  const second = await bench.connect(device);
  await second.ask(READ);
  t.equal(bench.isHeld, false, 'from the second on, also while the first is busy');
  hasSecond = true;
  await busy;
  for (let i = 0; i < 500; i++) await Promise.all([first.ask(READ), second.ask(READ)]);
  t.equal(bench.isHeld, false);
  second.socket.destroy();
  await second.closed;
  await bench.asked(true, [first]);
  t.pass('again for the one that is left');
});

t.test('a reactor that ends lets go', async (t) => {
  await using bench = await Bench.start();
  const device = await bench.reactors.device(SIZE);
  const client = await bench.connect(device);
  await bench.asked(true, [client]);
  const busy = bench.askUntil(() => false, client).catch(() => 'it was closed');
  await bench.reactors.close(0);
  await busy;
  t.equal(bench.isHeld, false);
});
