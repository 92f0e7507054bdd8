/** Disks that fail as they are told: faults, limits, power cuts and logs of writes at random, and clients that live with it. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { FaultKind, FaultRule, LimitsChange } from '../../../driver/control/messages.js';
import { LEAVES, NbdSession } from '../../helpers/nbd-session.js';
import type { Random } from '../../helpers/random.js';
import type { Sea } from './clients.js';
import type { Bridge } from './controllers.js';
import { SECTOR } from './pattern.js';
import { HONEST_DEVICE, WILD_DEVICE } from './plan.js';

/** Of either device. */
export const TROUBLED_BYTES = 4 << 20;
const MAX_SECTORS = 64;

const HONEST: readonly FaultKind[] = ['errno', 'delay', 'hang'];
const WILD: readonly FaultKind[] = [...HONEST, 'torn', 'lost', 'misdirected', 'flipped'];

/** Writes and reads back. What was answered is so; of what failed, or was cut off, either may be so. */
export async function honestClient(sea: Sea): Promise<void> {
  const { tally, random } = sea;
  const known = new Map<number, number>();
  await whileOpen(sea, HONEST_DEVICE, async (session) => {
    const sector = random.below(TROUBLED_BYTES / SECTOR - MAX_SECTORS);
    const sectors = 1 + random.below(MAX_SECTORS);
    const all = Array.from({ length: sectors }, (_, n) => sector + n);
    if (random.chance(0.5)) {
      const byte = random.below(256);
      for (const one of all) known.delete(one);
      const error = await session.write(sector * SECTOR, Buffer.alloc(sectors * SECTOR, byte));
      if (error === 0) for (const one of all) known.set(one, byte);
      return error;
    }
    const { error, data } = await session.read(sector * SECTOR, sectors * SECTOR);
    for (const [n, one] of error === 0 ? all.entries() : []) {
      const expected = known.get(one);
      const found = data.subarray(n * SECTOR, (n + 1) * SECTOR);
      if (expected !== undefined && !found.equals(Buffer.alloc(SECTOR, expected)))
        tally.fault(`sector ${one} of a disk that only fails brings ${found[0]}, not ${expected}`);
    }
    return error;
  });
}

/** Asks for anything, and believes nothing. */
export async function wildClient(sea: Sea): Promise<void> {
  const { random } = sea;
  await whileOpen(sea, WILD_DEVICE, async (session) => {
    const length = SECTOR * (1 + random.below(MAX_SECTORS));
    const at = SECTOR * random.below((TROUBLED_BYTES - length) / SECTOR);
    if (random.chance(0.1)) return session.flush();
    if (random.chance(0.5)) return session.write(at, Buffer.alloc(length, random.next()));
    return (await session.read(at, length)).error;
  });
}

/** Sessions one after the other: a device may be gone, and a session may end at any time. */
async function whileOpen(
  { tally, random, socket, over }: Sea,
  device: number,
  deed: (session: NbdSession) => Promise<number>,
): Promise<void> {
  while (!over()) {
    const session = await tally.attempt('open', [], NbdSession.open(socket, `loop${device}`).catch(cutOff));
    if (session === undefined) {
      await sleep(5);
      continue;
    }
    for (let turn = random.below(100); turn > 0 && !over(); turn--) {
      const error = await tally.attempt('troubled request', [], deed(session).catch(cutOff));
      if (error === undefined) break;
      tally.count(`troubled request: ${error}`);
    }
    session.leave(random.pick(LEAVES));
  }
}

function cutOff(error: NodeJS.ErrnoException): undefined {
  if (error.message.startsWith('the server ended') || error.code === 'ECONNRESET' || error.code === 'EPIPE')
    return undefined;
  throw error;
}

const someRule = (random: Random, kinds: readonly FaultKind[]): FaultRule => {
  const kind = random.pick(kinds);
  const rest = {
    probability: random.pick([0, 0.01, 0.1, 1]),
    after: random.below(20),
    every: 1 + random.below(5),
    count: random.pick([null, 1, 50]),
    seed: random.next(),
    ranges: random.chance(0.5)
      ? []
      : [{ offset: SECTOR * random.below(4000), length: 1 + random.below(1 << 20) }],
  };
  if (kind === 'errno') return { kind, errno: random.pick(['EIO', 'ENOSPC', 'EPERM']), ...rest };
  if (kind === 'delay')
    return { kind, delay: { distribution: 'uniform', min: 0, max: random.below(40) }, ...rest };
  return { kind, ...rest };
};

const someLimits = (random: Random): LimitsChange => ({
  iops: random.pick([null, 20, 1000]),
  bytesWrite: random.pick([null, 1 << 20, 1 << 24]),
  burst: random.pick([0, 0.1, 1]),
});

const GONE = ['ENXIO', 'ENODEV'];

/** Nothing hangs for long: what is in a hang is released soon, and at the end. */
export async function troublemaker(bridge: Bridge, file: string, log: string): Promise<void> {
  const { control, tally, random, over, finds } = bridge;
  const attempt = <T>(name: string, work: Promise<T>, allowed = GONE): Promise<T | undefined> =>
    tally.attempt(name, allowed, work);
  while (!over()) {
    const device = random.pick([HONEST_DEVICE, WILD_DEVICE]);
    const kinds = device === HONEST_DEVICE ? HONEST : WILD;
    const rules = Array.from({ length: random.below(4) }, () => someRule(random, kinds));
    await random.weighted<() => Promise<unknown>>([
      [4, () => attempt('set faults', control.setFaults(device, rules))],
      [3, () => attempt('add faults', control.addFaults(device, rules), [...GONE, 'EINVAL'])],
      [6, () => attempt('release', control.releaseFaults(device))],
      [4, () => attempt('set limits', control.setLimits(device, someLimits(random)))],
      [2, () => attempt('mark', control.mark(device, `mark ${random.below(100)}`))],
      [2, () => attempt('volatile cache', control.volatileCache(WILD_DEVICE, random.chance(0.8)))],
      [
        2,
        () =>
          attempt(
            'power cut',
            control.powerCut(WILD_DEVICE, {
              keep: random.pick(['none', 'all', 'random']),
              tear: random.chance(0.5),
            }),
          ),
      ],
      [
        1,
        () =>
          finds.clearWild(() =>
            attempt('clear of a troubled device', control.clear(WILD_DEVICE, { force: random.chance(0.5) })),
          ),
      ],
      [
        3,
        () =>
          finds.bindWild(() =>
            attempt(
              'bind a troubled device',
              control.configure(WILD_DEVICE, {
                file,
                limits: someLimits(random),
                volatileCache: random.chance(0.5),
                faults: rules,
                ...(random.chance(0.5) ? { logWrites: log } : {}),
              }),
              ['EBUSY', 'ENODEV'],
            ),
          ),
      ],
    ])();
    await sleep(random.below(30));
  }
  for (const device of [HONEST_DEVICE, WILD_DEVICE]) {
    await attempt('set faults', control.setFaults(device, []));
    await attempt('set limits', control.setLimits(device, { iops: null, bytesWrite: null }));
  }
}
