import { constants } from 'node:os';
import type { Backend, Errno, ZeroMode } from '../backend.js';
import { Cmd, CmdFlag } from '../wire/constants.js';
import type { Replied } from '../wire/reply.js';
import type { Request } from '../wire/request.js';

const { EINVAL, ENOSPC } = constants.errno;

/** Bytes of a TRIM or WRITE_ZEROES that are done in one turn: what takes long holds up the others no longer than that. */
export const CHANGE_BYTES = 4 << 20;

const ZERO_MODES: readonly ZeroMode[] = [
  { punch: true, fast: false },
  { punch: false, fast: false },
  { punch: true, fast: true },
  { punch: false, fast: true },
];

/** Whether a range may be changed. A TRIM needs no space: past the end it is as wrong as a READ ("Error values"). */
const admit = (backend: Backend, type: number, offset: number, length: number): Errno => {
  const refusal = backend.admit('write', offset, length);
  return type === Cmd.TRIM && refusal === ENOSPC ? EINVAL : refusal;
};

/**
 * A TRIM or WRITE_ZEROES, done in pieces: it has no payload that would bound it, and a file system may take long
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
  #type = 0;
  #flags = 0;
  #position = 0;
  #remaining = 0;

  /** Caller has entered the backend. A range that may not be changed is refused before any of it is. */
  begin(request: Request, backend: Backend): void {
    this.cookieHigh = request.cookieHigh;
    this.cookieLow = request.cookieLow;
    this.offsetHigh = request.offsetHigh;
    this.offsetLow = request.offsetLow;
    this.#type = request.type;
    this.#flags = request.flags;
    this.#position = request.offset;
    this.#remaining = request.length;
    this.errno = admit(backend, request.type, request.offset, request.length);
    this.active = this.errno === 0;
  }

  /** Does the next piece. Caller has entered the backend, and the change is active. */
  step(backend: Backend): void {
    const piece = Math.min(this.#remaining, CHANGE_BYTES);
    this.errno = this.#change(backend, piece);
    this.#position += piece;
    this.#remaining -= piece;
    if (this.#remaining === 0 && this.errno === 0 && (this.#flags & CmdFlag.FUA) !== 0) {
      this.errno = backend.flush();
    }
    this.active = this.#remaining > 0 && this.errno === 0;
  }

  /** The device may have changed since the last piece. */
  #change(backend: Backend, length: number): Errno {
    const refusal = admit(backend, this.#type, this.#position, length);
    if (refusal !== 0) return refusal;
    if (this.#type === Cmd.TRIM) return backend.trim(this.#position, length);
    const mode = (this.#flags & CmdFlag.NO_HOLE ? 1 : 0) + (this.#flags & CmdFlag.FAST_ZERO ? 2 : 0);
    return backend.writeZeroes(this.#position, length, ZERO_MODES[mode] as ZeroMode);
  }
}
