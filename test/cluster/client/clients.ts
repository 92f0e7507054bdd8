/** Writers and readers of one export, each with a session of its own that is taken again whenever it ends. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { NbdSession } from '../../helpers/nbd-session.js';
import { Random } from '../../helpers/random.js';
import { type Durability, type Journal, now } from './journal.js';
import { decodeRecord, encodeRecord, RECORD } from './record.js';
import { openSession } from './session.js';

export const WRITERS = 2;
export const READERS = 2;
/** Records that a writer has for itself: few, so that each is written and read often. */
export const SLOTS = 24;
/** Records of an export: they differ between exports, too. */
export const SLOTS_EACH = SLOTS * WRITERS;
/** Between two requests of a client, milliseconds, where there is one export. */
const PAUSE = 25;
const RETRY = 100;
const FUA = 1;
/** Answered while a device is down: the session ends soon. */
const ESHUTDOWN = 108;

export interface ClientOptions {
  readonly host: string;
  readonly port: number;
  readonly name: string;
  readonly journal: Journal;
  /** Where their slots begin. */
  readonly firstSlot: number;
  /** So many times as long between two requests: of many exports each is asked more seldom. */
  readonly pause: number;
  readonly seed: number;
  readonly signal: AbortSignal;
}

/** The session ended, or the export is down: to be asked again of whoever serves next. */
class Gone extends Error {}

class Client {
  #session: NbdSession | undefined;

  constructor(readonly options: ClientOptions) {}

  /** Does it as often as it takes; undefined when all is over. */
  async persist<T>(request: string, attempt: (session: NbdSession) => Promise<T>): Promise<T | undefined> {
    const { host, port, name, signal, journal } = this.options;
    while (!signal.aborted) {
      try {
        this.#session ??= await openSession(host, port, name);
        return await attempt(this.#session);
      } catch (error) {
        if (error instanceof Refused) {
          journal.add({ what: 'refused', errno: error.errno, request, at: now() });
        }
        this.leave();
        await sleep(RETRY);
      }
    }
    return undefined;
  }

  leave(): void {
    this.#session?.leave('destroy');
    this.#session = undefined;
  }
}

class Refused extends Error {
  constructor(readonly errno: number) {
    super(`errno ${errno}`);
  }
}

function check(errno: number): void {
  if (errno === ESHUTDOWN) throw new Gone();
  if (errno !== 0) throw new Refused(errno);
}

/** Writes a new value into one of its slots after the other; a value once sent is sent until it is acknowledged. */
export async function write(options: ClientOptions, writer: number, values: () => number): Promise<void> {
  const client = new Client(options);
  const random = new Random(options.seed + writer);
  const { journal, signal } = options;
  while (!signal.aborted) {
    const slot = options.firstSlot + writer * SLOTS + random.below(SLOTS);
    const value = values();
    const durability: Durability = random.chance(0.5) ? 'fua' : 'flush';
    const record = encodeRecord(slot, value);
    journal.add({ what: 'write', value, slot, at: now(), durability });
    const isDone = await client.persist('write', async (session) => {
      check(await session.write(slot * RECORD, record, durability === 'fua' ? FUA : 0));
      if (durability === 'flush') check(await session.flush());
      return true;
    });
    if (isDone === true) journal.add({ what: 'acknowledged', value, at: now() });
    await sleep(PAUSE * options.pause);
  }
  client.leave();
}

/** Reads slots of all writers. */
export async function read(options: ClientOptions, reader: number, writers: number): Promise<void> {
  const client = new Client(options);
  const random = new Random(options.seed + 1000 + reader);
  const { signal } = options;
  while (!signal.aborted) {
    await readSlot(client, options.firstSlot + random.below(writers * SLOTS));
    await sleep(PAUSE * options.pause);
  }
  client.leave();
}

/** Everything once more, at the end. */
export async function readAll(options: ClientOptions, writers: number): Promise<void> {
  const client = new Client(options);
  for (let slot = 0; slot < writers * SLOTS; slot++) await readSlot(client, options.firstSlot + slot);
  client.leave();
}

async function readSlot(client: Client, slot: number): Promise<void> {
  // Of the attempt that was answered.
  let start = 0;
  const data = await client.persist('read', async (session) => {
    start = now();
    const answer = await session.read(slot * RECORD, RECORD);
    check(answer.error);
    return answer.data;
  });
  if (data === undefined) return;
  const values = decodeRecord(slot, data);
  client.options.journal.add({ what: 'read', slot, values, start, at: now() });
}
