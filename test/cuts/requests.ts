/**
 * Clients that send requests themselves, with no kernel between them and the disk, while the power goes: what was answered holds, however
 * late the answer came.
 */
import type { ControlClient } from '../../driver/control/client.js';
import { Daemon } from '../helpers/daemon.js';
import { NbdRequests } from '../helpers/nbd-requests.js';
import { Random } from '../helpers/random.js';
import { makeSparseFile, TempDir } from '../helpers/temp.js';
import { SLOW_FLUSH } from './cut-disk.js';
import type { RoundsResult } from './rounds.js';
import { SECTOR, SectorHistory } from './sector-history.js';

const CLIENTS = 4;
/** Requests that each has under way. */
const DEPTH = 8;
/** Sectors of each request's own part of the disk. */
const PART = 24;
const SECTORS = CLIENTS * DEPTH * PART;
/** Answers after which the power goes, at most. */
const ANSWERS = 600;

export interface RequestRounds {
  readonly cuts: number;
  readonly seed: number;
  readonly progress?: (text: string) => void;
  /** Before each round. */
  readonly before?: (client: ControlClient) => Promise<unknown>;
}

export async function requestCuts({ cuts, seed, progress, before }: RequestRounds): Promise<RoundsResult> {
  using dir = new TempDir();
  const file = makeSparseFile(dir.file('disk'), SECTORS * SECTOR);
  await using daemon = await Daemon.start({ args: ['--reactors', '2', '--log-level', 'error'] });
  const { number } = await daemon.client.find({ file, volatileCache: true });
  const history = new SectorHistory(SECTORS);
  const sum = { steps: 0, writes: 0, kept: 0, torn: 0 };
  for (let round = 0; round < cuts; round++) {
    const random = new Random(seed + round);
    if (random.chance(0.5)) await daemon.client.addFaults(number, [SLOW_FLUSH]);
    await before?.(daemon.client);
    const storm = await RequestStorm.begin(daemon.socket, history, random);
    await storm.answered(20 + random.below(ANSWERS));
    const keep = random.pick(['none', 'random', 'all'] as const);
    const left = await daemon.client.powerCut(number, { keep, tear: random.chance(0.5), seed: seed + round });
    sum.steps += await storm.over();
    sum.writes += left.writes;
    sum.kept += left.kept;
    sum.torn += left.torn;
    progress?.(`cut ${round + 1}: ${left.writes} writes, ${left.kept} kept, ${sum.steps} answers so far`);
    const wrong = history.check(file);
    if (wrong.length > 0) return { cuts: round + 1, ...sum, wrong: [`seed ${seed + round}`, ...wrong] };
  }
  return { cuts, ...sum, wrong: [] };
}

/** All clients of a round. */
class RequestStorm {
  #answers = 0;
  #wanted = Number.POSITIVE_INFINITY;
  #enough: () => void = () => {};
  readonly #workers: readonly Promise<void>[];

  private constructor(
    readonly clients: readonly NbdRequests[],
    private readonly history: SectorHistory,
    random: Random,
  ) {
    this.#workers = clients.flatMap((client, c) =>
      Array.from({ length: DEPTH }, (_, d) =>
        this.#work(client, (c * DEPTH + d) * PART, new Random(random.next())),
      ),
    );
  }

  static async begin(socket: string, history: SectorHistory, random: Random): Promise<RequestStorm> {
    const clients = await Promise.all(Array.from({ length: CLIENTS }, () => NbdRequests.open(socket)));
    return new RequestStorm(clients, history, random);
  }

  /** Resolves when so many requests were answered. */
  answered(wanted: number): Promise<void> {
    return new Promise((resolve) => {
      this.#enough = resolve;
      this.#wanted = wanted;
    });
  }

  /** Resolves when every session has ended, with the number of answers. */
  async over(): Promise<number> {
    await Promise.all(this.#workers);
    await Promise.all(this.clients.map(({ closed }) => closed));
    return this.#answers;
  }

  async #work(client: NbdRequests, first: number, random: Random): Promise<void> {
    try {
      for (;;) {
        await this.#deed(client, first, random);
        if (++this.#answers >= this.#wanted) this.#enough();
      }
    } catch {
      // The session is over.
    }
  }

  async #deed(client: NbdRequests, first: number, random: Random): Promise<void> {
    const { history } = this;
    if (random.chance(0.03)) {
      const believed = history.flushing();
      if ((await client.flush()) === 0) believed();
      return;
    }
    const from = first + random.below(PART);
    const to = from + 1 + random.below(first + PART - from);
    const what = random.weighted(DEEDS);
    const { content, answered } = history.writing(from, to, what === 'zero');
    const at = from * SECTOR;
    const error =
      what === 'zero'
        ? await client.zero(at, content.length)
        : await client.write(at, content, { fua: what === 'fua' });
    if (error === 0) answered(what === 'fua');
  }
}

const DEEDS = [
  [6, 'write'],
  [2, 'fua'],
  [1, 'zero'],
] as const;
