import { constants } from 'node:os';
import type { Backend, Errno, ZeroMode } from '../backend.js';
import { Cmd, CmdFlag } from '../wire/constants.js';
import type { Replied } from '../wire/reply.js';
import type { Request } from '../wire/request.js';

const { EINVAL, ENOSPC } = constants.errno;

/** Bytes of a TRIM or WRITE_ZEROES that are done in one turn: what takes long holds up the others no longer than that. */
export const CHANGE_BYTES = 1 << 20;

/** What is to be done to a range, and how far it is done. */
export class ChangedRange {
  type = 0;
  flags = 0;
  position = 0;
  remaining = 0;
  /** Bytes of the piece that was started last, and when. */
  piece = 0;
  since = 0;

  begin({ type, flags, offset, length }: Request): void {
    this.type = type;
    this.flags = flags;
    this.position = offset;
    this.remaining = length;
  }

  took(bytes: number): void {
    this.position += bytes;
    this.remaining -= bytes;
  }
}

const ZERO_MODES: readonly ZeroMode[] = [
  { punch: true, fast: false },
  { punch: false, fast: false },
  { punch: true, fast: true },
  { punch: false, fast: true },
];

/** Whether a range may be changed. A TRIM needs no space: past the end it is as wrong as a READ ("Error values"). */
export const admitChange = (backend: Backend, type: number, offset: number, length: number): Errno => {
  const refusal = backend.admit('write', offset, length);
  return type === Cmd.TRIM && refusal === ENOSPC ? EINVAL : refusal;
};

const zeroMode = (flags: number): ZeroMode =>
  ZERO_MODES[(flags & CmdFlag.NO_HOLE ? 1 : 0) + (flags & CmdFlag.FAST_ZERO ? 2 : 0)] as ZeroMode;

/** Does the next `length` bytes in place. Caller has entered the backend, which let the range in. */
export const changeRange = (
  backend: Backend,
  { type, flags, position }: ChangedRange,
  length: number,
): Errno =>
  type === Cmd.TRIM ? backend.trim(position, length) : backend.writeZeroes(position, length, zeroMode(flags));

/** Starts what it can of the next `length` bytes, and returns how many those are: 0 where it must be done in place. */
export const startChange = (
  backend: Backend,
  token: number,
  { type, flags, position }: ChangedRange,
  length: number,
): number =>
  type === Cmd.TRIM
    ? backend.startTrim(token, position, length)
    : backend.startZeroes(token, position, length, zeroMode(flags));

/**
 * A TRIM or WRITE_ZEROES, done in place in pieces: it has no payload that would bound it, and a file system may take long
 * for it, so others get their turn between two pieces. Each piece is a request of its own to the queue, so it
 * holds up no freeze either.
 */
export class RangeChange implements Replied {
  active = false;
  cookieHigh = 0;
  cookieLow = 0;
  /** The request's own, for the reply. */
  offsetHigh = 0;
  offsetLow = 0;
  /** The answer, once `active` is false. */
  errno: Errno = 0;
  readonly #range = new ChangedRange();

  /** Caller has entered the backend. A range that may not be changed is refused before any of it is. */
  begin(request: Request, backend: Backend): void {
    this.cookieHigh = request.cookieHigh;
    this.cookieLow = request.cookieLow;
    this.offsetHigh = request.offsetHigh;
    this.offsetLow = request.offsetLow;
    this.#range.begin(request);
    this.errno = admitChange(backend, request.type, request.offset, request.length);
    this.active = this.errno === 0;
  }

  /** Does the next piece. Caller has entered the backend, and the change is active. */
  step(backend: Backend): void {
    const range = this.#range;
    const { type, flags, position } = range;
    const piece = Math.min(range.remaining, CHANGE_BYTES);
    // The device may have changed since the last piece.
    this.errno = admitChange(backend, type, position, piece) || changeRange(backend, range, piece);
    range.took(piece);
    if (range.remaining === 0 && this.errno === 0 && (flags & CmdFlag.FUA) !== 0) {
      this.errno = backend.flush();
    }
    this.active = range.remaining > 0 && this.errno === 0;
  }
}
