import { readFileSync, writeFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import { AwakeCores, REST } from '../../../server/pace/awake-cores.js';
import { timesOpen } from '../../helpers/open-files.js';
import { TempDir } from '../../helpers/temp.js';

/** Turns in a row that say what is to come. */
const TURNS = 64;
const PACE = REST / 4;

/** Processors that a file in a temporary directory would keep awake, and a clock. */
class Bench {
  readonly file: string;
  readonly cores: AwakeCores;
  #now = 1000;

  constructor(t: Test, { exists = true } = {}) {
    const files = new TempDir();
    this.file = files.file('latency');
    if (exists) writeFileSync(this.file, '');
    this.cores = new AwakeCores(this.file);
    t.teardown(() => {
      this.cores.release();
      files[Symbol.dispose]();
    });
  }

  turns(count: number): void {
    for (let i = 0; i < count; i++) {
      this.#now += PACE;
      this.cores.went(this.#now);
    }
  }

  rest(): void {
    this.#now += REST * 2;
  }

  get open(): number {
    return timesOpen(this.file);
  }
}

t.test('they are kept awake from the 64th turn in a row on', async (t) => {
  const bench = new Bench(t);
  bench.turns(TURNS - 1);
  t.equal(bench.cores.areHeld, false);
  t.equal(bench.open, 0);
  bench.turns(1);
  t.equal(bench.cores.areHeld, true);
  t.equal(bench.open, 1);
  t.strictSame([...readFileSync(bench.file)], [0, 0, 0, 0], 'an int32: no microseconds at all');
  bench.turns(10 * TURNS);
  t.equal(bench.open, 1, 'it is held once');
});

t.test('released, they are kept awake again by as many turns', async (t) => {
  const bench = new Bench(t);
  bench.turns(TURNS);
  bench.cores.release();
  t.equal(bench.cores.areHeld, false);
  t.equal(bench.open, 0);
  bench.turns(TURNS - 1);
  t.equal(bench.open, 0);
  bench.turns(1);
  t.equal(bench.open, 1);
});

t.test('a thread that rests between is not busy', async (t) => {
  const bench = new Bench(t);
  for (let i = 0; i < 10; i++) {
    bench.turns(TURNS - 1);
    bench.rest();
  }
  t.equal(bench.open, 0);
});

t.test('where it is refused, it is not asked for again', async (t) => {
  const bench = new Bench(t, { exists: false });
  bench.turns(TURNS);
  t.equal(bench.cores.areHeld, false);
  bench.cores.release();
  writeFileSync(bench.file, '');
  bench.rest();
  bench.turns(TURNS);
  t.equal(bench.open, 0);
});

t.test('what can be opened, but not written, is closed again', async (t) => {
  const cores = new AwakeCores('/dev/full');
  for (let i = 0; i < TURNS; i++) cores.went(i * PACE);
  t.equal(cores.areHeld, false);
  t.equal(timesOpen('/dev/full'), 0);
});
