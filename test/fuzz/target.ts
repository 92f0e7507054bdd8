/** The target in memory: a handshake and, where it leads there, a transmission phase, both judged. */
import { constants } from 'node:os';
import { type Duplex, duplexPair } from 'node:stream';
import { negotiate } from '../../server/negotiation/negotiate.js';
import type { NegotiationOutcome, TransmissionOutcome } from '../../server/negotiation/outcome.js';
import { Status } from '../../server/session/link.js';
import { Cmd, TransmissionFlag } from '../../server/wire/constants.js';
import { FakeExport, fakeTable } from '../helpers/fake-exports.js';
import { handshakeOptions } from '../helpers/handshake.js';
import { ReferenceSession } from '../helpers/reference-session.js';
import { SessionBench } from '../helpers/session-bench.js';
import { type Asked, decodeAsks, type Reply } from '../helpers/transmission-client.js';
import { judgeHandshake } from './conversation.js';
import { withDistinctCookies } from './cookies.js';
import { DEVICE_BYTES } from './grammar.js';
import { cut, inputOf, type Plan, planOf, wireOf } from './input.js';

/** Operations under way at most: few enough to run out. */
const OPERATIONS = 5;

/** Endings after which the client's bytes may be left unread; the last event of a run names its ending. */
export const HANGS_UP: readonly string[] = [
  'dropped',
  'closed',
  'session broken',
  'session cut short',
  'session finished',
];

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
  return [...judged.marks, ...transmit(outcome, withDistinctCookies(outcome.mode, rest), plan)];
}

/** What a client sends that tells its requests apart. */
export async function distinct(wire: Buffer): Promise<Buffer> {
  const { outcome, received } = await shakeHands(wire, planOf(inputOf(wire)));
  if (outcome.kind !== 'transmission') return wire;
  const { sent } = judgeHandshake(wire, received);
  return Buffer.concat([wire.subarray(0, sent), withDistinctCookies(outcome.mode, wire.subarray(sent))]);
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
  const isDeferred = plan.deferred !== 'no';
  const deferral = isDeferred ? { operations: OPERATIONS } : {};
  const bench = new SessionBench({ ...session, ...sizes, ...deferral, zeroCopy: plan.zeroCopy });
  bench.memory.batchLimit = plan.faultEvery === 0 ? 16 : 3;
  bench.memory.isDirect = plan.deferred === 'all';
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
  const { started, inFlight } = bench.memory;
  if (started + inFlight > 0) throw new Error(`${started} operations are left, ${inFlight} counted in`);
  const reference = new ReferenceSession({ ...session, contexts: contexts.map(({ id }) => id) });
  // Replies out of order can't be told apart when cookies repeat, and what overlaps may come either way.
  if (plan.faultEvery === 0 && !isDeferred) compare(reference, answered, replies, bench);
  const events = answered.map(({ type, flags }, index) => {
    const { error = 0, shape = '', extents = undefined } = replies[index] ?? {};
    return `${mode} ${type} ${flags} ${error} ${shape.split(',').length} ${extents?.size}`;
  });
  return [...events, `session ${ENDINGS.get(bench.session.status) ?? 'open'}`];
}

const ENDINGS = new Map<Status, string>([
  [Status.BROKEN, 'broken'],
  [Status.CUT_SHORT, 'cut short'],
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
    for (let ends = turn % 3; ends > 0; ends--) replies.push(...bench.end({ last: (turn & 1) !== 0 }));
    turn++;
  }
  while (bench.memory.started > 0) replies.push(...bench.end({ last: turn++ % 2 !== 0 }));
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
