import type { Backend } from '../backend.js';
import type { NegotiatedContext } from '../negotiation/outcome.js';
import { AllocationFlag, CmdFlag } from '../wire/constants.js';
import type { Request } from '../wire/request.js';
import { ALLOCATION_CONTEXT, DIRTY_CONTEXT, DIRTY_FLAG, OVERLAY_CONTEXT } from './contexts.js';
import type { Replies } from './replies.js';

/** Most extents of a reply. Fewer than the range has is fine: the client asks again. */
const MAX_EXTENTS = 256;
const MAX_CONTEXTS = 4;
/** Room the reply to a BLOCK_STATUS can need, bytes. */
export const BLOCK_STATUS_BYTES = MAX_CONTEXTS * (64 + MAX_EXTENTS * 16);

/** Lengths in a compact reply are 32 bits; kept a multiple of every block size. */
const MAX_COMPACT_EXTENT = 0xffff_f000;

const allocation = (run: number): number => (run < 0 ? AllocationFlag.HOLE | AllocationFlag.ZERO : 0);

/** Tells the run at an offset, at most a length; its sign is its kind. */
type Look = (backend: Backend, offset: number, length: number) => number;
const allocationRun: Look = (backend, offset, length) => backend.extent(offset, length);
const dirtyRun: Look = (backend, offset, length) => backend.dirty(offset, length);
const heldRun: Look = (backend, offset, length) => backend.held(offset, length);
const holds = (run: number): number => (run > 0 ? 1 : 0);

interface Kind {
  readonly look: Look;
  /** The flags of a run. */
  readonly flags: (run: number) => number;
}
const KINDS: Readonly<Record<string, Kind>> = {
  [ALLOCATION_CONTEXT]: { look: allocationRun, flags: allocation },
  [DIRTY_CONTEXT]: { look: dirtyRun, flags: (run) => (run > 0 ? DIRTY_FLAG : 0) },
  [OVERLAY_CONTEXT]: { look: heldRun, flags: holds },
};
const ALLOCATION: Kind = { look: allocationRun, flags: allocation };

const runs = new Float64Array(MAX_EXTENTS);

/**
 * Answers BLOCK_STATUS on an admitted range: for each selected context one chunk of extents, each a multiple of
 * `block` bytes, as the request's range is.
 */
export function blockStatus(
  backend: Backend,
  replies: Replies,
  request: Request,
  contexts: readonly NegotiatedContext[],
  block: number,
): void {
  backend.queried();
  const most = (request.flags & CmdFlag.REQ_ONE) !== 0 ? 1 : MAX_EXTENTS;
  const longest = replies.mode === 'extended' ? Number.MAX_SAFE_INTEGER : MAX_COMPACT_EXTENT;
  contexts.forEach((context, index) => {
    const { look, flags } = KINDS[context.name] ?? ALLOCATION;
    const count = collectRuns(backend, look, request, most, longest, block);
    replies.extents(request, context.id, count, index === contexts.length - 1);
    for (let i = 0; i < count; i++) {
      const run = runs[i] ?? 0;
      replies.extent(Math.abs(run), flags(run));
    }
  });
}

/** Fills `runs` with at most `most` extents from the request's offset on; neighbours of a kind are one. */
function collectRuns(
  backend: Backend,
  look: Look,
  request: Request,
  most: number,
  longest: number,
  block: number,
): number {
  const end = request.offset + request.length;
  let count = 0;
  for (let position = request.offset; position < end; ) {
    const found = look(backend, position, Math.min(end - position, longest));
    const run = wholeBlocks(found, block);
    position += Math.abs(run);
    const previous = runs[count - 1] ?? 0;
    if (count > 0 && Math.sign(previous) === Math.sign(run) && Math.abs(previous + run) <= longest) {
      runs[count - 1] = previous + run;
    } else if (count === most) {
      break;
    } else {
      runs[count++] = run;
    }
  }
  return count;
}

/**
 * A device that starts anywhere in its file has holes that start anywhere. A block of which some is data (or
 * dirty) is data (or dirty).
 */
function wholeBlocks(run: number, block: number): number {
  const excess = Math.abs(run) % block;
  if (excess === 0) return run;
  if (run > 0) return run - excess + block;
  return run + excess === 0 ? block : run + excess;
}
