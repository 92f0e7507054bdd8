/** Clients of one disk, over two connections: writes of any alignment, FUA, TRIM, zeroes and FLUSH, several at a time. */
import { Cmd, CmdFlag } from '../../../server/wire/constants.js';
import { MixedSession } from '../../helpers/mixed-session.js';
import type { Random } from '../../helpers/random.js';
import { SECTOR, type Sectors, stamp, Value } from './sectors.js';

/** Requests under way at a time. */
const DEPTH = 8;
const CONNECTIONS = 2;
/** Sectors of the longest request. */
const LONGEST = 300;

export class Writer {
  requests = 0;
  #isStopped = false;
  readonly #busy = new Set<number>();

  constructor(
    readonly sectors: Sectors,
    private readonly random: Random,
    /** The next value of a write: no two are the same. */
    private readonly nextValue: () => number,
  ) {}

  /** Until it is stopped, or the server dies. Rejects where something is answered with an error. */
  async run(socket: string, name: string): Promise<void> {
    const sessions: MixedSession[] = [];
    try {
      for (let i = 0; i < CONNECTIONS; i++)
        sessions.push(await MixedSession.open(socket, { mode: 'structured', name }));
    } catch {
      return;
    }
    const loops = Array.from({ length: DEPTH }, (_, index) =>
      this.#loop(sessions[index % CONNECTIONS] as MixedSession),
    );
    await Promise.all(loops);
    for (const session of sessions) session.stream.destroy();
    this.#busy.clear();
  }

  stop(): void {
    this.#isStopped = true;
  }

  async #loop(session: MixedSession): Promise<void> {
    while (!this.#isStopped) {
      const error = await this.#request(session).catch(() => 'gone' as const);
      if (error === 'gone') return;
      if (error !== 0) throw new Error(`a request failed with ${error}`);
      this.requests++;
    }
  }

  async #request(session: MixedSession): Promise<number> {
    const { random, sectors } = this;
    if (random.chance(0.06)) {
      const barrier = sectors.barrier();
      const { error } = await session.ask({ type: Cmd.FLUSH });
      if (error === 0) sectors.flushed(barrier);
      return error;
    }
    const most = random.weighted([
      [6, 8],
      [2, 40],
      [1, LONGEST],
    ]);
    const count = 1 + random.below(most);
    const sector = random.below(sectors.count - count + 1);
    const run = Array.from({ length: count }, (_, index) => sector + index);
    if (run.some((one) => this.#busy.has(one))) return 0;
    for (const one of run) this.#busy.add(one);
    const type = random.weighted([
      [8, Cmd.WRITE],
      [1, Cmd.TRIM],
      [1, Cmd.WRITE_ZEROES],
    ]);
    const fua = random.chance(0.1);
    const value = type === Cmd.WRITE ? this.nextValue() : Value.ZERO;
    sectors.sent(sector, count, value);
    const ask = { type, flags: fua ? CmdFlag.FUA : 0, offset: sector * SECTOR };
    const { error } = await session.ask(
      type === Cmd.WRITE
        ? { ...ask, payload: Buffer.concat(run.map((one) => stamp(value, one))) }
        : { ...ask, length: count * SECTOR },
    );
    if (error === 0) sectors.answered(sector, count, fua);
    for (const one of run) this.#busy.delete(one);
    return error;
  }
}

/** What a disk holds. */
export async function readDisk(socket: string, name: string, bytes: number): Promise<Buffer> {
  await using session = await MixedSession.open(socket, { mode: 'structured', name });
  const { error, data } = await session.ask({ type: Cmd.READ, offset: 0, length: bytes });
  if (error !== 0) throw new Error(`a READ failed with ${error}`);
  return data;
}
