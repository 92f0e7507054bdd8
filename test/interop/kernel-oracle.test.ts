import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import t from 'tap';
import { LoopControl } from '../../driver/loop/loop-control.js';
import { Random } from '../helpers/random.js';
import { TempDir } from '../helpers/temp.js';
import { skipBecause } from '../helpers/tools.js';
import { type Comparison, DIFFERENCES } from './oracle/differences.js';
import { KernelLoopControl } from './oracle/kernel-ioctl.js';
import { KernelSide } from './oracle/kernel-side.js';
import {
  DEVICES,
  FILE_SIZES,
  FILES,
  type Known,
  nextOperation,
  type Operation,
} from './oracle/operations.js';
import { OurSide } from './oracle/our-side.js';
import { type OracleSide, type OracleView, pathOf } from './oracle/side.js';

/** How many operations a run compares: at least 2000. */
const OPERATIONS = Number(process.env.NBDLOOP_ORACLE_OPERATIONS ?? '2500');
/** How long the host may take to settle, where a program like udev has a device open for a moment. */
const SETTLE_MS = 2000;

t.setTimeout(600_000);

const obstacle = KernelLoopControl.obstacle();
const skip = obstacle === false ? false : skipBecause(obstacle);

/** The files that a side may be given as backing files: the same on both sides. */
function makeFiles(dir: string): void {
  mkdirSync(dir);
  mkdirSync(pathOf(dir, 'directory'));
  execFileSync('mkfifo', [pathOf(dir, 'fifo')]);
  for (let file = 0; file < FILES; file++) {
    writeFileSync(pathOf(dir, file), new Random(file).bytes(FILE_SIZES[file] ?? 0));
  }
}

/** Both drivers, what the test did to them, and what it has seen. */
class Duel {
  readonly log: string[] = [];
  readonly counts = new Map<string, number>();
  readonly differences = new Map<string, number>();
  readonly #sessions = new Map<number, number>();

  constructor(
    readonly ours: OracleSide,
    readonly kernel: OracleSide,
    readonly random: Random,
  ) {}

  /** Runs one operation on both sides; returns what is wrong, or undefined. */
  async step(): Promise<string | undefined> {
    const device = this.random.below(DEVICES);
    const before = await this.ours.view(device);
    const known: Known = { view: before, sessions: this.#sessions.get(device) ?? 0 };
    const operation = nextOperation(this.random, device, known);
    const fileSize = this.#fileSize(before);
    const [ours, kernel] = [await operation.run(this.ours), await operation.run(this.kernel)];
    this.#note(operation, ours);
    const comparison = { operation, ours, kernel, before, fileSize };
    if (!isDeepStrictEqual(ours, kernel) && !this.#isIntended(comparison)) {
      return `${show(operation)}: ours ${brief(ours)}, the kernel's ${brief(kernel)}, before: ${show(before)}`;
    }
    return this.#compareViews(operation);
  }

  /** Waits for the host to settle, then compares all devices. */
  async #compareViews(operation: Operation): Promise<string | undefined> {
    for (let device = 0; device < DEVICES; device++) {
      const ours = await this.ours.view(device);
      let kernel = await this.kernel.view(device);
      const deadline = Date.now() + SETTLE_MS;
      while (!isDeepStrictEqual(visible(ours), visible(kernel)) && Date.now() < deadline) {
        await new Promise((resolve) => setTimeout(resolve, 10));
        kernel = await this.kernel.view(device);
      }
      if (isDeepStrictEqual(visible(ours), visible(kernel))) continue;
      return `after ${show(operation)} device ${device} is ${show(ours)}, the kernel's ${show(kernel)}`;
    }
    return undefined;
  }

  #isIntended(comparison: Comparison): boolean {
    const difference = DIFFERENCES.find((candidate) => candidate.allows(comparison));
    if (difference === undefined) return false;
    this.differences.set(difference.title, (this.differences.get(difference.title) ?? 0) + 1);
    return true;
  }

  #note(operation: Operation, answer: Comparison['ours']): void {
    const errno = typeof answer === 'object' ? answer.errno : String(answer);
    this.log.push(`${show(operation)} -> ${errno}`);
    const kind = `${operation.name} ${errno}`;
    this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1);
    const opened = operation.name === 'open' ? 1 : operation.name === 'close' ? -1 : 0;
    this.#sessions.set(operation.device, (this.#sessions.get(operation.device) ?? 0) + opened);
  }

  #fileSize({ bound }: OracleView): number {
    return bound === null ? 0 : statSync(pathOf(this.ours.dir, bound.file)).size;
  }
}

/** What must be the same: positions as our status tells them, rounded beyond 2^53. */
function visible({ bound, ...view }: OracleView): unknown {
  if (bound === null) return { ...view, bound };
  return { ...view, bound: { ...bound, offset: Number(bound.offset), sizeLimit: Number(bound.sizeLimit) } };
}

const show = (value: unknown): string =>
  JSON.stringify(value, (_key, inner) => (typeof inner === 'bigint' ? `${inner}n` : inner));

const brief = (answer: Comparison['ours']): string =>
  typeof answer === 'object'
    ? `${answer.errno}, ${answer.length} bytes ${answer.data?.toString('hex', 0, 16) ?? ''}`
    : String(answer);

t.test('random operations end alike on nbdloop and on the kernel', { skip }, async (t) => {
  using dir = new TempDir();
  const random = Random.fromEnvironment('NBDLOOP_ORACLE_SEED');
  t.comment(`NBDLOOP_ORACLE_SEED=${random.seed}`);
  for (const side of ['ours', 'kernel']) makeFiles(dir.file(side));
  const ours = new OurSide(dir.file('ours'));
  const kernel = new KernelSide(dir.file('kernel'));
  const duel = new Duel(ours, kernel, random);
  try {
    let wrong: string | undefined;
    for (let done = 0; done < OPERATIONS && wrong === undefined; done++) wrong = await duel.step();
    if (wrong !== undefined) t.fail(wrong, { seed: random.seed, last: duel.log.slice(-25) });
  } finally {
    await ours.end();
    await kernel.end();
  }
  for (let file = 0; file < FILES; file++) {
    const [mine, theirs] = [readFileSync(pathOf(ours.dir, file)), readFileSync(pathOf(kernel.dir, file))];
    t.ok(mine.equals(theirs), `file ${file} is the same on both sides`);
  }
  t.same(ours.order.reports, [], 'no lock-order mistake');
  t.comment(`${duel.log.length} operations: ${show(Object.fromEntries([...duel.counts].sort()))}`);
  t.comment(`intended differences: ${show(Object.fromEntries(duel.differences))}`);
});

/** The lowest loop device of the host that has no file, from sysfs. */
function lowestUnbound(): number | undefined {
  const numbers = readdirSync('/sys/block').flatMap((name) => /^loop(\d+)$/.exec(name)?.[1] ?? []);
  return numbers
    .map(Number)
    .sort((a, b) => a - b)
    .find((number) => !existsSync(`/sys/block/loop${number}/loop/backing_file`));
}

t.test('ctl_get_free is the lowest unbound device on both', { skip }, async (t) => {
  using kernel = new KernelLoopControl();
  // Other programs use loop devices of the host, too: what must hold is that there is a quiet moment.
  for (let attempt = 0; ; attempt++) {
    const [before, free, after] = [lowestUnbound(), kernel.getFree(), lowestUnbound()];
    if (before === undefined || before !== after) {
      if (attempt < 100) continue;
    }
    t.same(free, { errno: 'none', value: before }, 'the kernel');
    break;
  }
  const ours = new LoopControl();
  for (const number of [5, 3, 4]) await ours.ctlAdd(number);
  t.equal(await ours.ctlGetFree(), 3);
});
