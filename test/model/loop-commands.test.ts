/**
 * The real classes against the reference model: random batches of operations that run side by side, every await in
 * them scheduled by an adversary, and after each batch a device that some interleaving of the model explains.
 *
 * NBDLOOP_MODEL_RUNS sets the number of sequences; NBDLOOP_MODEL_SEED and NBDLOOP_MODEL_PATH repeat what a failure
 * printed.
 */
import { deepStrictEqual, ok } from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import { Adversary, type Pause } from './adversary.js';
import { possibleEnds } from './interleavings.js';
import * as model from './loop-model.js';
import { RealDevice } from './real-device.js';

/** An operation on the real device, and its first step in the model. */
interface Operation {
  readonly name: string;
  /** Whether it can be used when this many openers are counted on, and how many are left. */
  readonly closes?: true;
  readonly step: (file: string) => model.Step;
  /** Resolves with the result; a rejection with an errno is its name. */
  readonly run: (real: RealDevice, file: string) => Promise<unknown>;
}

/** Who comes and goes, and whose file goes with whom: the races are here. */
const COMINGS_AND_GOINGS: readonly Operation[] = [
  ...[true, false].flatMap((deferred): Operation[] => [
    {
      name: deferred ? 'open' : 'in-kernel open',
      step: () => model.open({ deferred }),
      run: ({ device }) => device.loOpen({ deferred }).then(() => device.state),
    },
    {
      name: deferred ? 'release' : 'in-kernel release',
      closes: true,
      step: () => model.release({ deferred }),
      run: ({ device }) => device.loRelease({ deferred }),
    },
  ]),
  ...[
    { readOnly: false, autoclear: false },
    { readOnly: true, autoclear: false },
    { readOnly: true, autoclear: true },
  ].map(
    (flags): Operation => ({
      name: `configure ${JSON.stringify(flags)}`,
      step: (file) => model.configure(file, flags),
      run: ({ device }, file) => device.loopConfigure({ file, ...flags }),
    }),
  ),
  ...[false, true].map(
    (force): Operation => ({
      name: `clr_fd force=${force}`,
      step: () => model.clrFd({ force }),
      run: ({ device }) => device.loopClrFd({ force }),
    }),
  ),
];

/** What changes a device in between. */
const CHANGES: readonly Operation[] = [
  ...[false, true].flatMap((on): Operation[] => [
    {
      name: `autoclear=${on}`,
      step: () => model.setAutoclear(on),
      run: ({ device }) => device.loopSetStatus({ autoclear: on }),
    },
    { name: `set_dio ${on}`, step: () => model.setDio(on), run: ({ device }) => device.loopSetDio(on) },
    {
      name: `set_block_size ${on ? 4096 : 512}`,
      step: () => model.setBlockSize(on ? 4096 : 512),
      run: ({ device }) => device.loopSetBlockSize(on ? 4096 : 512),
    },
  ]),
  {
    name: 'change_fd',
    step: (file) => model.changeFd(file),
    run: ({ device }, file) => device.loopChangeFd(file),
  },
  { name: 'request', step: () => model.request(), run: (real) => real.request() },
  {
    name: 'ctl_remove',
    step: () => model.remove(),
    run: ({ control, device }) => control.ctlRemove(device.number),
  },
];

const resultOf = (operation: Promise<unknown>): Promise<string> =>
  operation.then(
    (value) => (typeof value === 'string' ? value : 'ok'),
    (error: { errno?: string }) => {
      if (error.errno === undefined) throw error;
      return error.errno;
    },
  );

/** What the model knows: every device that explains what was seen so far. */
interface Knowledge {
  devices: model.Device[];
  files: number;
}

interface World {
  readonly real: RealDevice;
  readonly scheduler: fc.Scheduler;
}

/** A batch of operations that run side by side. */
class Batch implements fc.AsyncCommand<Knowledge, World> {
  constructor(readonly operations: readonly Operation[]) {}

  /** Nobody closes what is not open. */
  check({ devices }: Readonly<Knowledge>): boolean {
    const closes = this.operations.filter((operation) => operation.closes).length;
    return devices.every((device) => device.openers >= closes);
  }

  async run(knowledge: Knowledge, { real, scheduler }: World): Promise<void> {
    const started = this.operations.map((operation) => {
      const file = `/file${++knowledge.files}`;
      const result = real.pause(`start ${operation.name}`).then(() => resultOf(operation.run(real, file)));
      return { first: operation.step(file), result };
    });
    const results = await scheduler.waitFor(Promise.all(started.map(({ result }) => result)));
    await scheduler.waitIdle();
    const observed = started.map(({ first }, index) => ({ first, result: results[index] ?? '' }));
    const ends = knowledge.devices.flatMap((device) => possibleEnds(device, observed));
    const seen = real.look();
    knowledge.devices = distinct(ends.filter((end) => looksLike(end, seen)));
    ok(
      knowledge.devices.length > 0,
      `no interleaving explains ${results.join(', ')} and ${JSON.stringify(seen)}; the model could end with ${JSON.stringify(ends)}`,
    );
    checkQuiet(real);
  }

  toString(): string {
    return `[${this.operations.map(({ name }) => name).join(' | ')}]`;
  }
}

const distinct = (devices: readonly model.Device[]): model.Device[] => [
  ...new Map(devices.map((device) => [JSON.stringify(device), device])).values(),
];

/** Whether a device of the model is what can be seen of the real one: all but what is remembered of the past. */
function looksLike({ state, openers, binding }: model.Device, seen: ReturnType<RealDevice['look']>): boolean {
  const visible = binding === null ? null : { ...binding, id: '' };
  return JSON.stringify({ state, openers, binding: visible }, sortKeys) === JSON.stringify(seen, sortKeys);
}

const sortKeys = (_key: string, value: unknown): unknown =>
  value !== null && typeof value === 'object' ? Object.fromEntries(Object.entries(value).sort()) : value;

/** With nothing running: no lock, no freeze, no request, no file too many, nothing reported. */
function checkQuiet({ control, device, files }: RealDevice): void {
  control.order.expectIdle();
  for (const report of control.order.reports) throw report;
  deepStrictEqual(files.mistakes, []);
  deepStrictEqual([device.queue.freezeDepth, device.queue.inFlight], [0, 0]);
  const { file } = device.snapshot();
  deepStrictEqual([...files.open.values()], file === null ? [] : [file]);
}

const operation = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom(...COMINGS_AND_GOINGS) },
  { weight: 1, arbitrary: fc.constantFrom(...CHANGES) },
);

const batches = fc.commands(
  [fc.array(operation, { minLength: 1, maxLength: 4 }).map((operations) => new Batch(operations))],
  { maxCommands: 10, size: 'max' },
);

async function oneSequence(
  commands: Iterable<fc.AsyncCommand<Knowledge, World>>,
  scheduler: fc.Scheduler,
): Promise<void> {
  const pause: Pause = (label) => scheduler.schedule(Promise.resolve(), label);
  using adversary = new Adversary(pause);
  const real = new RealDevice(adversary.files, pause);
  await scheduler.waitFor(real.add());
  const setup = () => ({ model: { devices: [model.NEW_DEVICE], files: 0 }, real: { real, scheduler } });
  await fc.asyncModelRun(setup, commands);
}

const { NBDLOOP_MODEL_RUNS, NBDLOOP_MODEL_SEED, NBDLOOP_MODEL_PATH } = process.env;

/** Milliseconds after which a slow machine has seen enough, if it has seen `ENOUGH` sequences. */
const BUDGET_MS = 180_000;
const ENOUGH = 300;

t.setTimeout(280_000);

t.test('whatever runs side by side, the device does only what the model can do', async (t) => {
  let sequences = 0;
  const property = fc.asyncProperty(batches, fc.scheduler(), (commands, scheduler) => {
    sequences++;
    return oneSequence(commands, scheduler);
  });
  await fc.assert(property, {
    numRuns: Number(NBDLOOP_MODEL_RUNS ?? 2000),
    timeout: 20_000,
    interruptAfterTimeLimit: BUDGET_MS,
    ...(NBDLOOP_MODEL_SEED === undefined ? {} : { seed: Number(NBDLOOP_MODEL_SEED) }),
    ...(NBDLOOP_MODEL_PATH === undefined ? {} : { path: NBDLOOP_MODEL_PATH }),
  });
  if (NBDLOOP_MODEL_RUNS === undefined && NBDLOOP_MODEL_PATH === undefined) {
    t.ok(sequences >= ENOUGH, `${sequences} sequences ran`);
  }
  t.pass(`${sequences} sequences are explained`);
});
