/** When a reactor keeps processors awake: a file in a temporary directory stands for the kernel's. */
import { writeFileSync } from 'node:fs';
import t from 'tap';
import { Cmd } from '../../../server/wire/constants.js';
import { timesOpen } from '../../helpers/open-files.js';
import { type BlockClient, ReactorBench, type TestDevice } from '../../helpers/reactor-bench.js';
import { TempDir } from '../../helpers/temp.js';
import { until } from '../../helpers/until.js';

const READ = { type: Cmd.READ, offset: 0, length: 4096 };

t.setTimeout(120_000);

/** A reactor, a device, and the file. */
class Bench implements AsyncDisposable {
  private constructor(
    private readonly files: TempDir,
    readonly file: string,
    readonly reactors: ReactorBench,
    private readonly device: TestDevice,
  ) {}

  static async start({ keepsAwake = true } = {}): Promise<Bench> {
    const files = new TempDir();
    const file = files.file('latency');
    writeFileSync(file, '');
    const reactors = await ReactorBench.start(keepsAwake ? { cpuLatencyFile: file } : {});
    return new Bench(files, file, reactors, await reactors.device(1 << 20));
  }

  connect(): Promise<BlockClient> {
    return this.reactors.connect(this.device);
  }

  get isHeld(): boolean {
    return timesOpen(this.file) > 0;
  }

  /** The client asks one thing at a time until processors are kept awake. */
  async held(client: BlockClient): Promise<void> {
    const limit = Date.now() + 60_000;
    while (!this.isHeld) {
      if (Date.now() > limit) throw new Error('it asked in vain');
      await askTimes(200, client);
    }
  }

  async released(): Promise<void> {
    await until('it is released', async () => (this.isHeld ? undefined : true));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.reactors[Symbol.asyncDispose]();
    this.files[Symbol.dispose]();
  }
}

/** Each asks one thing at a time, as often as that. */
async function askTimes(times: number, ...clients: readonly BlockClient[]): Promise<void> {
  for (let i = 0; i < times; i++) await Promise.all(clients.map((client) => client.ask(READ)));
}

/** Keeps a reactor busy. Rejects when the connection ends. */
async function askUntil(isOver: () => boolean, client: BlockClient): Promise<void> {
  while (!isOver()) await client.ask(READ);
}

t.test('as long as the only client asks, and no longer', async (t) => {
  await using bench = await Bench.start();
  const client = await bench.connect();
  await askTimes(10, client);
  t.equal(bench.isHeld, false, 'a few requests are not worth it');
  await bench.held(client);
  await bench.released();
  await bench.held(client);
  t.equal(timesOpen(bench.file), 1);
  client.socket.destroy();
  await client.closed;
  await bench.released();
  t.pass('its end ends it');
});

t.test('not for several', async (t) => {
  await using bench = await Bench.start();
  const first = await bench.connect();
  await bench.held(first);
  let hasSecond = false;
  const busy = askUntil(() => hasSecond, first);
  const second = await bench.connect();
  await second.ask(READ);
  t.equal(bench.isHeld, false, 'from the second on, also while the first is busy');
  hasSecond = true;
  await busy;
  await askTimes(500, first, second);
  t.equal(bench.isHeld, false);
  second.socket.destroy();
  await second.closed;
  await bench.held(first);
  t.pass('again for the one that is left');
});

t.test('a reactor that ends lets go', async (t) => {
  await using bench = await Bench.start();
  const client = await bench.connect();
  await bench.held(client);
  const busy = askUntil(() => false, client).catch(() => 'it was closed');
  await bench.reactors.close(0);
  await busy;
  t.equal(bench.isHeld, false);
});

t.test('one that was given no file holds none', async (t) => {
  await using bench = await Bench.start({ keepsAwake: false });
  const client = await bench.connect();
  await askTimes(500, client);
  t.equal(bench.isHeld, false);
  t.equal(timesOpen('/dev/cpu_dma_latency'), 0);
});
