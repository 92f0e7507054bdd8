import { setTimeout as sleep } from 'node:timers/promises';
import { LEAVES, NbdSession } from '../../helpers/nbd-session.js';
import type { Random } from '../../helpers/random.js';
import { originOf, SECTOR } from './pattern.js';
import { OFFSETS, READABLE_BYTES, SCRATCH_START, STABLE_DEVICES, UNSTABLE_NUMBERS } from './plan.js';
import type { Races } from './races.js';
import type { Tally } from './tally.js';

/** What clients share. */
export interface Sea {
  readonly socket: string;
  readonly tally: Tally;
  readonly races: Races;
  readonly random: Random;
  readonly over: () => boolean;
}

const MAX_SECTORS = 32;
/** Bytes of a steady client's own part of a device. */
export const REGION_BYTES = 1 << 20;

/** Errors of the protocol that an unstable device may give. */
const Nbd = { EPERM: 1, EIO: 5, EINVAL: 22, ENOSPC: 28 } as const;

/**
 * Writes into its own part of a device whose file stays, and reads back what it wrote, while direct I/O, block size,
 * flags and capacity change. Nothing may fail, and nothing may be other than written.
 */
export async function steadyClient(sea: Sea, client: number): Promise<void> {
  const { tally, random } = sea;
  const name = `loop${client % STABLE_DEVICES}`;
  const base = client * REGION_BYTES;
  const written = Buffer.alloc(REGION_BYTES);
  while (!sea.over()) {
    const session = await tally.attempt('open', [], NbdSession.open(sea.socket, name));
    if (session === undefined) continue;
    for (let turn = random.below(200); turn > 0 && !sea.over(); turn--) {
      const length = SECTOR * (1 + random.below(MAX_SECTORS));
      const at = SECTOR * random.below((REGION_BYTES - length) / SECTOR);
      const mine = written.subarray(at, at + length);
      if (random.chance(0.5)) {
        mine.set(random.bytes(length));
        await steadyWrite(tally, session, base + at, mine);
      } else {
        await steadyRead(tally, session, base + at, mine);
      }
    }
    session.leave(random.pick(LEAVES));
  }
}

async function steadyWrite(tally: Tally, session: NbdSession, at: number, data: Buffer): Promise<void> {
  const error = await tally.attempt('steady write', [], session.write(at, data));
  if (error !== undefined && error !== 0) tally.fault(`a steady write ends in ${error}`);
}

async function steadyRead(tally: Tally, session: NbdSession, at: number, expected: Buffer): Promise<void> {
  const answer = await tally.attempt('steady read', [], session.read(at, expected.length));
  if (answer === undefined) return;
  if (answer.error !== 0) tally.fault(`a steady read ends in ${answer.error}`);
  else if (!answer.data.equals(expected)) tally.fault(`a steady read at ${at} brings other data`);
}

/**
 * Opens devices that come and go, reads and writes for a while, and leaves. A read is refused, or brings sectors of
 * one file at one offset: no request sees half of a change.
 */
export async function unsteadyClient(sea: Sea): Promise<void> {
  const { tally, races, random } = sea;
  while (!sea.over()) {
    const device = random.pick(UNSTABLE_NUMBERS);
    const meetsClear = races.watch(device);
    const session = await openIfThere(sea, `loop${device}`);
    if (session === undefined) {
      await sleep(random.below(5));
      continue;
    }
    if (meetsClear()) races.decided(await isBound(tally, session));
    for (let turn = random.below(60); turn > 0 && !sea.over(); turn--) {
      if (random.chance(0.25)) await unsteadyWrite(tally, session, random);
      else await unsteadyRead(tally, session, random);
      if (random.chance(0.05)) await sleep(random.below(10));
    }
    session.leave(random.pick(LEAVES));
  }
}

/** A device that is not there, or is being removed, is refused by the end of the connection. */
async function openIfThere({ tally, socket }: Sea, name: string): Promise<NbdSession | undefined> {
  const opening = NbdSession.open(socket, name).catch((error: Error) => {
    if (error.message.startsWith('the server ended')) return undefined;
    throw error;
  });
  const session = await tally.attempt('open', [], opening);
  if (session === undefined) tally.count('open refused');
  return session;
}

/** The first sector is there wherever a file is: an error says that none is. */
async function isBound(tally: Tally, session: NbdSession): Promise<boolean> {
  const answer = await tally.attempt('first read', [], session.read(0, SECTOR));
  return answer?.error === 0;
}

async function unsteadyRead(tally: Tally, session: NbdSession, random: Random): Promise<void> {
  const length = SECTOR * (1 + random.below(MAX_SECTORS));
  const at = SECTOR * random.below((READABLE_BYTES - length) / SECTOR);
  const answer = await tally.attempt('read', [], session.read(at, length));
  if (answer === undefined) return;
  if (answer.error !== 0) {
    tally.count(`read error ${answer.error}`);
    if (answer.error !== Nbd.EIO && answer.error !== Nbd.EINVAL)
      tally.fault(`a read ends in ${answer.error}`);
    return;
  }
  const origin = originOf(answer.data, at);
  if (typeof origin === 'string') tally.fault(`a read sees half of a change, ${origin}`);
  else if (!OFFSETS.includes(origin.offset)) tally.fault(`a read from offset ${origin.offset}`);
}

async function unsteadyWrite(tally: Tally, session: NbdSession, random: Random): Promise<void> {
  const length = SECTOR * (1 + random.below(MAX_SECTORS));
  const at = SCRATCH_START + SECTOR * random.below(64);
  const error = await tally.attempt('write', [], session.write(at, random.bytes(length)));
  if (error === undefined || error === 0) return;
  tally.count(`write error ${error}`);
  const isExpected = error === Nbd.EIO || error === Nbd.ENOSPC || error === Nbd.EPERM;
  if (!isExpected) tally.fault(`a write ends in ${error}`);
}
