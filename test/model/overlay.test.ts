/**
 * Overlays against a model of their bytes: requests of any alignment from several threads beside snapshots, commits, flattens,
 * moves, growth and rebinds, and a power cut at any change or sync of a file. Reads always bring what was written; after a cut
 * every sector that was flushed is there, every other is old or new.
 *
 * NBDLOOP_OVERLAY_RUNS sets the number of lives; NBDLOOP_OVERLAY_SEED and NBDLOOP_OVERLAY_PATH repeat what a failure printed.
 */
import fc from 'fast-check';
import t from 'tap';
import { FuseMount, skipWithoutFuse } from '../helpers/fuse/fuse-mount.js';
import { Lanes } from './overlay/lanes.js';
import { Disk } from './overlay/lives.js';
import { LANES, scenario } from './overlay/scenario.js';

const { NBDLOOP_OVERLAY_RUNS, NBDLOOP_OVERLAY_SEED, NBDLOOP_OVERLAY_PATH } = process.env;
const RUNS = Number(NBDLOOP_OVERLAY_RUNS ?? 60);
/** Milliseconds after which a slow machine has seen enough. */
const BUDGET = NBDLOOP_OVERLAY_RUNS === undefined ? 20_000 : RUNS * 5000;

t.setTimeout(60_000 + 2 * BUDGET);

t.test(
  'whatever happens to an overlay, it holds what was written, and after a cut what was flushed',
  { skip: skipWithoutFuse() },
  async (t) => {
    await using mount = await FuseMount.mount({ volatile: true });
    await using lanes = new Lanes(LANES);
    let runs = 0;
    const property = fc.asyncProperty(scenario, async (one) => {
      runs++;
      await new Disk(one, mount, lanes).run();
    });
    await fc.assert(property, {
      numRuns: RUNS,
      interruptAfterTimeLimit: BUDGET,
      endOnFailure: NBDLOOP_OVERLAY_RUNS !== undefined,
      seed: Number(NBDLOOP_OVERLAY_SEED ?? 1),
      ...(NBDLOOP_OVERLAY_PATH === undefined ? {} : { path: NBDLOOP_OVERLAY_PATH }),
    });
    t.pass(`${runs} disks lived through it`);
  },
);
