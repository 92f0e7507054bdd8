/** The target on the wire: changed sessions against the running daemon, which is looked after between them. */
import { readdirSync, readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Cmd } from '../../server/wire/constants.js';
import { Daemon } from '../helpers/daemon.js';
import { refusal } from '../helpers/refusal.js';
import { makeSparseFile, TempDir } from '../helpers/temp.js';
import { decodeAsks, encodeAsk, ReplyReader } from '../helpers/transmission-client.js';
import { judgeHandshake } from './conversation.js';
import { DEVICE_BYTES, DEVICES, handshakeFor } from './grammar.js';
import { cut, inputOf, type Plan, planOf, wireOf } from './input.js';
import { distinct, HANGS_UP, runInMemory } from './target.js';

/** What the daemon holds at one moment. */
export interface Holdings {
  /** Sessions that have a device open. */
  readonly openers: number;
  readonly descriptors: number;
  /** Resident memory, bytes. */
  readonly memory: number;
}

const CLEAN_READ = encodeAsk('structured', { type: Cmd.READ, offset: 0, length: 4096 });

/**
 * Descriptors it may have more than at the start: a reactor keeps up to 16 idle pipes for large replies, and a
 * connection to the control socket may rest. A leak goes beyond that soon.
 */
export const SPARE_DESCRIPTORS = 2 * 16 + 2;

/** Milliseconds the daemon has to let go of connections that are over. */
const SETTLE = 10_000;

export class WireTarget implements AsyncDisposable {
  #first: Holdings | undefined;
  #most = 0;

  private constructor(
    private readonly daemon: Daemon,
    private readonly files: TempDir,
  ) {}

  static async start(): Promise<WireTarget> {
    const files = new TempDir();
    const devices = DEVICES.map((name) => makeSparseFile(files.file(`${name}.img`), DEVICE_BYTES));
    const daemon = await Daemon.start({ devices, args: ['--log-level', 'error'] });
    const answer = await refusal(daemon.client.directIo(1, true));
    // EINVAL: a file system without it.
    if (answer !== 'success' && answer !== 'EINVAL') throw new Error(`direct I/O: ${answer}`);
    return new WireTarget(daemon, files);
  }

  /** Runs one input; throws when an answer is wrong or the daemon is gone. */
  async run(input: Buffer): Promise<readonly string[]> {
    const plan = planOf(input);
    const sent = await distinct(wireOf(input));
    const received = await converse(this.daemon.socket, sent, plan);
    if (this.daemon.process.isOver) throw new Error(`the daemon ended: ${this.daemon.process.stderr}`);
    if (Buffer.isBuffer(received)) return judge(sent, received);
    if (received === 'hung up') await expectHangUp(sent);
    return [received];
  }

  /** Throws when the daemon does not serve as ever, or does not let go of what is over. */
  async examine(): Promise<Holdings> {
    await this.run(inputOf(Buffer.concat([handshakeFor('structured'), CLEAN_READ])));
    let now = await this.#holdings();
    const first = this.#first ?? now;
    const limit = Date.now() + SETTLE;
    const most = first.descriptors + SPARE_DESCRIPTORS;
    while ((now.openers > 0 || now.descriptors > most) && Date.now() < limit) {
      await sleep(20);
      now = await this.#holdings();
    }
    this.#first ??= now;
    this.#most = Math.max(this.#most, now.memory);
    if (now.openers > 0) throw new Error(`${now.openers} openers are left`);
    if (now.descriptors > most) {
      throw new Error(`${now.descriptors} descriptors, ${first.descriptors} at the start`);
    }
    return now;
  }

  /** Most resident memory that an examination saw, bytes. */
  get mostMemory(): number {
    return this.#most;
  }

  /** The descriptors include the one of the question itself. */
  async #holdings(): Promise<Holdings> {
    const { pid, client } = this.daemon;
    const devices = await client.list();
    const openers = devices.reduce((sum, device) => sum + device.openers, 0);
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    const memory = Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024;
    return { openers, descriptors: readdirSync(`/proc/${pid}/fd`).length, memory };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.daemon.stop();
    await this.daemon[Symbol.asyncDispose]();
    this.files[Symbol.dispose]();
  }
}

/**
 * What the server sent until it closed. 'broke off' when that was this client's part; 'hung up' when the server left
 * bytes of ours unread, which may cost replies that were on their way.
 */
async function converse(path: string, sent: Buffer, plan: Plan): Promise<Buffer | 'broke off' | 'hung up'> {
  const socket = connect(path);
  const received: Buffer[] = [];
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  let isHungUp = false;
  socket.on('error', () => {
    isHungUp = true;
  });
  if ((plan.holds & 1) !== 0) setTimeout(() => collect(socket, received), 3);
  else collect(socket, received);
  let pieces = 0;
  for (const piece of cut(sent, plan)) {
    socket.write(piece);
    if (pieces++ < 4) await new Promise((resolve) => setImmediate(resolve));
  }
  const breaksOff = (plan.holds & 0xf0) === 0xf0;
  if (breaksOff) socket.destroy();
  else socket.end();
  await closed;
  if (breaksOff) return 'broke off';
  return isHungUp ? 'hung up' : Buffer.concat(received);
}

/** Throws when the same bytes, in memory, give no reason to hang up. */
async function expectHangUp(sent: Buffer): Promise<void> {
  const ending = (await runInMemory(inputOf(sent))).at(-1) ?? '';
  if (!HANGS_UP.includes(ending)) throw new Error(`the daemon hung up where the end is: ${ending}`);
}

function collect(socket: Socket, into: Buffer[]): void {
  socket.on('data', (bytes: Buffer) => into.push(bytes));
}

function judge(sent: Buffer, received: Buffer): string[] {
  const { end, mode, marks, ...lengths } = judgeHandshake(sent, received);
  if (end === 'over') return [...marks];
  const { asks, isClean } = decodeAsks(mode, sent.subarray(lengths.sent));
  const reader = new ReplyReader(mode);
  reader.expect(...asks);
  const replies = reader.read(received.subarray(lengths.received));
  // After a breach the server hangs up, which may cost replies that were on their way.
  if (isClean && (reader.unanswered > 0 || reader.incomplete > 0)) {
    throw new Error(`${reader.unanswered} requests without a whole reply`);
  }
  const events = replies.map(({ error, shape }, index) => {
    const { type = -1, flags = 0 } = asks[index] ?? {};
    return `${mode} ${type} ${flags} ${error} ${shape.split(',').length}`;
  });
  return [...marks, ...events];
}
