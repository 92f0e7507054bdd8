/**
 * Many outstanding requests of all kinds and flags against the daemon, in every reply mode, plain and over TLS: what is read is
 * what was written. No two requests that are outstanding at once touch the same bytes unless both only look at them, so the
 * content is known at every moment, whatever the order of the replies.
 */
import { fdatasyncSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { POSIX_FADV_DONTNEED, posixFadvise } from '../../driver/io/file-calls.js';
import type { ReplyMode } from '../../server/negotiation/outcome.js';
import { AllocationFlag, Cmd, CmdFlag, WireErrno } from '../../server/wire/constants.js';
import { selfSigned } from '../helpers/certificates.js';
import { Daemon } from '../helpers/daemon.js';
import { OpenFile } from '../helpers/file-systems.js';
import { type Answer, MixedSession } from '../helpers/mixed-session.js';
import { makeSparseFile, TempDir } from '../helpers/temp.js';
import type { Ask } from '../helpers/transmission-client.js';
import { Random } from './random.js';

const MIB = 1 << 20;
/** Bytes of a device. */
const SIZE = 64 * MIB;
/** Requests outstanding at once. */
const DEPTH = 64;
/** What everything is a multiple of: it suits direct I/O. */
const BLOCK = 4096;
const MODES: readonly ReplyMode[] = ['simple', 'structured', 'extended'];
const { READ, WRITE, FLUSH, TRIM, CACHE, WRITE_ZEROES, BLOCK_STATUS } = Cmd;
const { FUA, DF, NO_HOLE, FAST_ZERO, REQ_ONE } = CmdFlag;

export interface MixedReport {
  readonly seed: number;
  readonly requests: number;
  /** By 'mode type flags'. */
  readonly kinds: ReadonlyMap<string, number>;
  readonly findings: readonly string[];
}

interface MixedOptions {
  readonly seed: number;
  /** Milliseconds. */
  readonly budget: number;
  readonly onProgress?: (report: MixedReport) => void;
}

interface Range {
  readonly from: number;
  readonly to: number;
  readonly changes: boolean;
}

/** One device and its client, who knows what is on it. */
class Player {
  requests = 0;
  readonly kinds: Map<string, number>;
  readonly #content = Buffer.alloc(SIZE);
  readonly #busy = new Set<Range>();
  readonly #random: Random;
  readonly #session: MixedSession;
  /** The file of the device, open for forgetting what the page cache has of it. */
  readonly #file: OpenFile;

  constructor(session: MixedSession, file: OpenFile, random: Random, kinds: Map<string, number>) {
    this.#session = session;
    this.#file = file;
    this.#random = random;
    this.kinds = kinds;
  }

  /** Keeps requests outstanding until the time is over or something is wrong. */
  async play(end: number): Promise<void> {
    const under = new Set<Promise<void>>();
    let failure: unknown;
    while (performance.now() < end && failure === undefined) {
      const request = this.#one().catch((error: unknown) => {
        failure ??= error;
      });
      const tracked: Promise<void> = request.then(() => void under.delete(tracked));
      under.add(tracked);
      // Mostly as many as may be; at times all of them are waited for, so that a client with one request is seen, too.
      const most = this.#random.once(40) ? 1 : DEPTH;
      while (under.size >= most) await Promise.race(under);
      if (this.#random.once(60)) this.#forget();
      if (this.#random.once(100)) await this.#stall();
    }
    await Promise.all(under);
    if (failure !== undefined) throw failure;
  }

  /** READs of what was forgotten wait for the disk. */
  #forget(): void {
    fdatasyncSync(this.#file.fd);
    const from = BLOCK * this.#random.below(SIZE / BLOCK);
    posixFadvise(this.#file.fd, from, 16 * MIB, POSIX_FADV_DONTNEED);
  }

  /** The client takes nothing for a moment, while requests are outstanding. */
  async #stall(): Promise<void> {
    this.#session.stream.pause();
    await sleep(this.#random.below(30));
    this.#session.stream.resume();
  }

  async #one(): Promise<void> {
    const ask = this.#choose();
    const from = Number(ask.offset ?? 0);
    const to = from + Number(ask.length ?? ask.payload?.length ?? 0);
    const changes = ask.type === WRITE || ask.type === TRIM || ask.type === WRITE_ZEROES;
    const range = { from, to, changes };
    if (!this.#isFree(range)) return;
    const kind = `${this.#session.mode} ${ask.type} ${ask.flags ?? 0}`;
    this.kinds.set(kind, (this.kinds.get(kind) ?? 0) + 1);
    this.#busy.add(range);
    try {
      this.#judge(ask, from, to, await this.#session.ask(ask));
      this.requests++;
    } catch (error) {
      throw new Error(`${kind} of ${from} to ${to}: ${(error as Error).message}`);
    } finally {
      this.#busy.delete(range);
    }
  }

  #isFree({ from, to, changes }: Range): boolean {
    for (const other of this.#busy) {
      if (from < other.to && other.from < to && (changes || other.changes)) return false;
    }
    return true;
  }

  #choose(): Ask {
    const random = this.#random;
    const isSimple = this.#session.mode === 'simple';
    const fua = random.once(3) ? FUA : 0;
    const type = random.pick([
      READ,
      READ,
      READ,
      READ,
      WRITE,
      WRITE,
      WRITE,
      FLUSH,
      TRIM,
      CACHE,
      WRITE_ZEROES,
      BLOCK_STATUS,
    ]);
    if (type === FLUSH) return { type };
    const lengths = [1, 1, 4, 16, 40, 64, 300, ...(type === READ ? [300, 800, 2048] : [])];
    const length = BLOCK * (1 + random.below(random.pick(lengths)));
    // Out of range at times, which is an error.
    const last = SIZE - (random.once(50) ? -length : length);
    const at = { offset: BLOCK * random.below(last / BLOCK + 1), length };
    switch (type) {
      case READ:
        return { type, flags: !isSimple && random.once(2) ? DF : 0, ...at };
      case WRITE:
        return { type, flags: fua, offset: at.offset, payload: pattern(length, random.next()) };
      case TRIM:
        return { type, flags: fua, ...at };
      case WRITE_ZEROES:
        return { type, flags: fua | random.pick([0, NO_HOLE, FAST_ZERO]), ...at };
      case BLOCK_STATUS:
        return isSimple ? { type: CACHE, ...at } : { type, flags: random.pick([0, REQ_ONE]), ...at };
      default:
        return { type, ...at };
    }
  }

  #judge(ask: Ask, from: number, to: number, answer: Answer): void {
    const { type, flags = 0 } = ask;
    if (to > SIZE) {
      if (answer.error === 0) throw new Error('it is past the end, and succeeds');
      return;
    }
    const isUnable = type === WRITE_ZEROES && (flags & FAST_ZERO) !== 0 && answer.error === WireErrno.ENOTSUP;
    if (isUnable) return;
    if (answer.error !== 0) throw new Error(`error ${answer.error}`);
    if (type === WRITE) ask.payload?.copy(this.#content, from);
    else if (type === TRIM || type === WRITE_ZEROES) this.#content.fill(0, from, to);
    else if (type === READ) expectSame(answer.data, this.#content.subarray(from, to));
    else if (type === BLOCK_STATUS) this.#expectHoles(answer, from);
  }

  /** What is told to read as zeroes does. */
  #expectHoles({ extents }: Answer, from: number): void {
    let at = from;
    for (const [length, flags] of extents.get(1) ?? []) {
      const part = this.#content.subarray(at, at + Number(length));
      if ((flags & AllocationFlag.ZERO) !== 0 && !part.equals(Buffer.alloc(part.length))) {
        throw new Error(`a hole of ${length} bytes at ${at} that is none`);
      }
      at += Number(length);
    }
    if (at === from) throw new Error('no extents');
  }
}

function expectSame(data: Buffer, wanted: Buffer): void {
  if (data.equals(wanted)) return;
  const at = data.findIndex((byte, index) => byte !== wanted[index]);
  const [got, should] = [data, wanted].map((bytes) => bytes.subarray(at, at + 32).toString('hex'));
  throw new Error(`at byte ${at} of ${data.length} stands ${got}, not ${should}`);
}

/** Bytes of which no 4 are the same as others in it, and none like what other seeds make. */
function pattern(length: number, seed: number): Buffer {
  const words = new Uint32Array(length / 4);
  for (let i = 0; i < words.length; i++) words[i] = Math.imul(i ^ seed, 0x9e3779b1) | 1;
  return Buffer.from(words.buffer);
}

/** Each mode plain and over TLS, one after the other, each alone; then all of them at once, some with direct I/O. */
export async function fuzzMixed({ seed, budget, onProgress }: MixedOptions): Promise<MixedReport> {
  // On a disk: a FLUSH is to take longer than to read from memory.
  using dir = new TempDir('/var/tmp');
  const authority = await selfSigned(dir, 'authority');
  const cases = [false, true].flatMap((tls) => MODES.map((mode) => ({ tls, mode })));
  const devices = cases.map((_, index) => makeSparseFile(dir.file(`${index}.img`), SIZE));
  const args = ['--tls-cert', authority.cert, '--tls-key', authority.key, '--log-level', 'warn'];
  await using daemon = await Daemon.start({ devices, args });
  const kinds = new Map<string, number>();
  const findings: string[] = [];
  const players: Player[] = [];
  const sum = (): number => players.reduce((all, { requests }) => all + requests, 0);
  const report = (): MixedReport => ({ seed, requests: sum(), kinds, findings });

  const play = async (index: number, milliseconds: number, round: number): Promise<void> => {
    const { mode, tls } = cases[index] as (typeof cases)[number];
    const about = `${mode}${tls ? ' over TLS' : ''}, round ${round}`;
    // A content that is known: whoever had the device before has left something.
    using file = OpenFile.open(devices[index] ?? '');
    const session = await MixedSession.open(daemon.socket, { mode, tls, name: `loop${index}` });
    const player = new Player(session, file, new Random(seed + 100 * round + index), kinds);
    players.push(player);
    try {
      await session.ask({ type: TRIM, offset: 0, length: SIZE });
      await player.play(performance.now() + milliseconds);
    } catch (error) {
      findings.push(`${about}: ${(error as Error).message}`);
    }
    session.stream.destroy();
    onProgress?.(report());
  };

  const share = budget / (2 * cases.length);
  for (const index of cases.keys()) await play(index, share, 0);
  for (const index of [0, 1, 2]) await daemon.client.directIo(index, true);
  await Promise.all([...cases.keys()].map((index) => play(index, budget / 2, 1)));
  if (daemon.process.isOver) findings.push(`the daemon ended: ${daemon.process.stderr}`);
  return report();
}
