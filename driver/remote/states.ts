/**
 * The life of a device of another host, as a table.
 *
 * | state       | what holds while it lasts                                                                            |
 * |-------------|------------------------------------------------------------------------------------------------------|
 * | negotiating | one negotiation is under way, with one address after the other. The kernel has no live socket: requests |
 * |             | wait. Nothing is given to the kernel before the export has proven to be the one that was attached.      |
 * | attached    | the kernel has all its sockets, from one server, each negotiated with that export.                     |
 * | lost        | the kernel has told that a socket is dead. Those beside it are shut down: they live and die together,   |
 * |             | so that no two servers are ever written to.                                                           |
 * | waiting     | no address had the export. A timer runs, longer after every failure, never the same for two daemons.    |
 * | given-up    | the kernel takes no more sockets: those who have the device open get errors until they close it. Final. |
 *
 * A device ends from every state, by `detach` or because the kernel has let go of it, and is then forgotten.
 *
 * What always holds:
 * - The kernel's live sockets all go to one server, and to the export that was attached: only `agreed` gives it any, all of them
 *   at once, and only where all that it had are dead.
 * - Before `agreed` counts, the export was compared with what is recorded (`difference` in facts.ts).
 * - A state is left by one signal at a time, and each such step is noted, logged and told as an event.
 * - Nothing but `given-up` is an error to a program that has the device open, as long as the dead timeout lasts.
 */

export type RemoteState = 'negotiating' | 'attached' | 'lost' | 'waiting' | 'given-up';

export type Signal =
  /** The export is the one that was meant, and the kernel has the sockets. */
  | 'agreed'
  /** No address has it. */
  | 'failed'
  /** The kernel tells that a socket is dead, or the daemon does not know whether one is. */
  | 'died'
  /** The time to wait is over. */
  | 'due'
  /** The kernel takes no more sockets. */
  | 'refused';

export const NEXT: Readonly<Record<RemoteState, Readonly<Partial<Record<Signal, RemoteState>>>>> = {
  negotiating: { agreed: 'attached', failed: 'waiting', refused: 'given-up' },
  attached: { died: 'lost' },
  lost: { due: 'negotiating' },
  waiting: { due: 'negotiating' },
  'given-up': {},
};

/** Throws for a signal that a state can't get: a bug of ours. */
export function next(state: RemoteState, signal: Signal): RemoteState {
  const reached = NEXT[state][signal];
  if (reached === undefined) throw new Error(`a remote device that is ${state} got ${signal}`);
  return reached;
}

/** A step that was taken. */
export interface Transition {
  readonly from: RemoteState;
  readonly to: RemoteState;
  /** Milliseconds since 1970. */
  readonly at: number;
  /** Why it is not attached from then on; null where it is. */
  readonly message: string | null;
}
