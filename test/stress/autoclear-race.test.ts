import { readFileSync } from 'node:fs';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import type { LoopDevice } from '../../driver/loop/loop-device.js';
import { LEAVES, NbdSession } from '../helpers/nbd-session.js';
import { Random } from '../helpers/random.js';
import { ServedLoops } from '../helpers/served-loops.js';
import { makeRandomFile } from '../helpers/temp.js';

/** How often a last close races a new open. */
const ROUNDS = Number(process.env.NBDLOOP_RACE_ROUNDS ?? '10000');
const BYTES = 1 << 20;
const BLOCK = 4096;
const EIO = 5;

/** Waits until the server has seen every session go. */
async function closed(device: LoopDevice): Promise<void> {
  while (device.openers > 0) await nextTurn();
}

t.setTimeout(900_000);

t.test('a last close races a new open over real sockets', async (t) => {
  await using served = await ServedLoops.start();
  const { bench, socketPath: path } = served;
  const random = Random.fromEnvironment('NBDLOOP_RACE_SEED');
  t.comment(`NBDLOOP_RACE_SEED=${random.seed}`);
  const device = await bench.device(0);
  const image = makeRandomFile(bench.dir.file('disk.img'), BYTES);
  const file = readFileSync(image);
  const outcomes = { kept: 0, cleared: 0 };
  const wrong = new Map<string, number>();
  const expect = (good: boolean, what: string): void => {
    if (!good) wrong.set(what, (wrong.get(what) ?? 0) + 1);
  };

  /** The new opener: whatever it found, it finds until its close. */
  const visit = async (): Promise<void> => {
    const session = await NbdSession.open(path, 'loop0');
    const isBound = session.size === BYTES;
    expect(isBound || session.size === 0, `a session of ${session.size} bytes`);
    for (let look = 0; look < 3; look++) {
      const offset = random.below(BYTES / BLOCK) * BLOCK;
      const { error, data } = await session.read(offset, BLOCK);
      expect(error !== 0 || data.equals(file.subarray(offset, offset + BLOCK)), 'wrong data');
      expect(
        error === (isBound ? 0 : EIO),
        `error ${error} in a session that began ${isBound ? '' : 'un'}bound`,
      );
      expect(device.state === (isBound ? 'bound' : 'unbound'), `${device.state} under a session`);
      if (look === 0 && random.chance(0.1)) await sleep(1);
    }
    outcomes[isBound ? 'kept' : 'cleared']++;
    session.leave(random.pick(LEAVES));
  };

  for (let round = 0; round < ROUNDS; round++) {
    if (device.state === 'unbound') await device.loopConfigure({ file: image, autoclear: true });
    const first = await NbdSession.open(path, 'loop0');
    expect(first.size === BYTES, 'the first opener finds the file');
    // The new opener's handshake takes longer than the close: most rounds give it a head start.
    const visiting = random.chance(0.7) ? visit() : undefined;
    for (let turn = random.below(6); turn > 0; turn--) await nextTurn();
    first.leave(random.pick(LEAVES));
    await (visiting ?? visit());
    await closed(device);
    expect(device.state === 'unbound' || device.state === 'rundown', `${device.state} after the last close`);
    while (device.state !== 'unbound') await nextTurn();
  }
  t.same(Object.fromEntries(wrong), {}, `${ROUNDS} races: ${JSON.stringify(outcomes)}`);
  t.ok(outcomes.kept > 0 && outcomes.cleared > 0, `both ways happened: ${JSON.stringify(outcomes)}`);
  t.equal(device.queue.inFlight, 0);
  t.same(bench.control.order.reports, []);
});
