/** The target in memory: a handshake and, where it leads there, a transmission phase, both judged. */
import { constants } from 'node:os';
import { type Duplex, duplexPair } from 'node:stream';
import { negotiate } from '../../server/negotiation/negotiate.js';
import type { NegotiationOutcome, TransmissionOutcome } from '../../server/negotiation/outcome.js';
import { Status } from '../../server/transmission/link.js';
import { Cmd, TransmissionFlag } from '../../server/wire/constants.js';
import { FakeExport, fakeTable } from '../helpers/fake-exports.js';
import { handshakeOptions } from '../helpers/handshake.js';
import { ReferenceSession } from '../helpers/reference-session.js';
import { SessionBench } from '../helpers/session-bench.js';
import { type Asked, decodeAsks, type Reply } from '../helpers/transmission-client.js';
import { judgeHandshake } from './conversation.js';
import { DEVICE_BYTES } from './grammar.js';
import { cut, type Plan, planOf, wireOf } from './input.js';

/** Endings after which the client's bytes may be left unread; the last event of a run names its ending. */
export const HANGS_UP: readonly string[] = ['dropped', 'closed', 'session broken', 'session finished'];

/** Runs one input. Returns what happened in words, its ending last; throws when something is wrong. */
export async function runInMemory(input: Buffer): Promise<readonly string[]> {
  const plan = planOf(input);
  const wire = wireOf(input);
  const { outcome, received, rest } = await shakeHands(wire, plan);
  const judged = judgeHandshake(wire, received);
  if ((judged.end === 'transmission') !== (outcome.kind === 'transmission')) {
    throw new Error(`the client sees ${judged.end}, the server ${outcome.kind}`);
  }
  if (outcome.kind !== 'transmission') return [...judged.marks, outcome.kind];
  if (judged.mode !== outcome.mode) throw new Error(`${judged.mode} was agreed on, not ${outcome.mode}`);
  if (!rest.equals(wire.subarray(judged.sent)))
    throw new Error('bytes behind the handshake are not the rest');
  return [...judged.marks, ...transmit(outcome, rest, plan)];
}

interface Shaken {
  readonly outcome: NegotiationOutcome;
  /** What the server sent. */
  readonly received: Buffer;
  /** What the client sent beyond the handshake. */
  readonly rest: Buffer;
}

async function shakeHands(wire: Buffer, plan: Plan): Promise<Shaken> {
  const [server, near] = duplexPair();
  server.on('error', () => {});
  near.on('error', () => {});
  const received: Buffer[] = [];
  near.on('data', (bytes: Buffer) => received.push(bytes));
  const blockSizes = { minimum: plan.largeBlocks ? 4096 : 512, preferred: 4096, maximum: 32 << 20 };
  const about = { size: DEVICE_BYTES, blockSizes };
  const exports = fakeTable(new FakeExport('loop0', about), new FakeExport('loop1', about));
  const { readOnly } = plan;
  const ended = negotiate(server, handshakeOptions({ exports, readOnly, draining: () => plan.draining }));
  for (const piece of cut(wire, plan)) near.write(piece);
  near.end();
  const outcome = await ended;
  const leftover = outcome.kind === 'transmission' ? [outcome.leftover, ...(await drain(server))] : [];
  // What the server wrote arrives in a later turn of the event loop.
  await new Promise((resolve) => setImmediate(resolve));
  server.destroy();
  near.destroy();
  return { outcome, received: Buffer.concat(received), rest: Buffer.concat(leftover) };
}

async function drain(stream: Duplex): Promise<Buffer[]> {
  const pieces: Buffer[] = [];
  for await (const piece of stream) pieces.push(piece as Buffer);
  return pieces;
}

function transmit(outcome: TransmissionOutcome, stream: Buffer, plan: Plan): string[] {
  const { mode, contexts } = outcome;
  const readOnly = (outcome.transmissionFlags & TransmissionFlag.READ_ONLY) !== 0;
  const minimumBlock = outcome.blockSizesNegotiated ? outcome.opened.info.blockSizes.minimum : 1;
  const session = { mode, contexts, readOnly, minimumBlock, size: DEVICE_BYTES };
  const sizes = { inputBytes: 96 << 10, outputBytes: 70_000 };
  const bench = new SessionBench({ ...session, ...sizes, zeroCopy: plan.zeroCopy });
  let operations = 0;
  bench.backend.fault = () =>
    plan.faultEvery > 0 && ++operations % plan.faultEvery === 0 ? constants.errno.EIO : 0;
  const { asks } = decodeAsks(mode, stream);
  bench.expect(...asks);
  const replies = feed(bench, stream, plan);
  const answered = asks.filter(({ type }) => type !== Cmd.DISC);
  if (replies.length !== answered.length) throw new Error(`${replies.length} replies to ${answered.length}`);
  if (bench.session.status === Status.PARKED || bench.session.status === Status.BLOCKED) {
    throw new Error(`the session is held up for no reason: status ${bench.session.status}`);
  }
  const reference = new ReferenceSession({ ...session, contexts: contexts.map(({ id }) => id) });
  if (plan.faultEvery === 0) compare(reference, answered, replies, bench);
  const events = answered.map(({ type, flags }, index) => {
    const { error = 0, shape = '', extents = undefined } = replies[index] ?? {};
    return `${mode} ${type} ${flags} ${error} ${shape.split(',').length} ${extents?.size}`;
  });
  return [...events, `session ${ENDINGS.get(bench.session.status) ?? 'open'}`];
}

const ENDINGS = new Map<Status, string>([
  [Status.BROKEN, 'broken'],
  [Status.FINISHED, 'finished'],
]);

function feed(bench: SessionBench, stream: Buffer, plan: Plan): Reply[] {
  const replies: Reply[] = [];
  let turn = 0;
  for (const piece of cut(stream, plan)) {
    bench.memory.isFrozen = (plan.holds & (1 << (turn & 3))) !== 0;
    bench.isBlocked = (plan.holds & (16 << (turn & 3))) !== 0;
    replies.push(...bench.send(piece));
    bench.memory.isFrozen = false;
    replies.push(...bench.unblock());
    turn++;
  }
  return replies;
}

function compare(
  reference: ReferenceSession,
  asks: readonly Asked[],
  replies: readonly Reply[],
  bench: SessionBench,
): void {
  for (const [index, asked] of asks.entries()) {
    const flaw = reference.judge(asked, replies[index] as Reply);
    if (flaw !== undefined) throw new Error(`request ${index} of type ${asked.type}: ${flaw}`);
  }
  // A write of which the end never came may have left its beginning.
  if (bench.unserved === 0 && bench.session.status === Status.FINISHED) {
    if (!bench.memory.content.equals(reference.content)) throw new Error('other content on the device');
  }
}
