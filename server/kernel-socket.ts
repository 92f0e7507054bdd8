/** Sockets whose client needs no handshake: a kernel's nbd driver. */
import type { OpenedExport } from './export.js';
import { transmissionFlags } from './negotiation/transmission-flags.js';
import type { Peer } from './peers.js';
import type { ReactorPool } from './reactor/reactor-pool.js';
import { DISCONNECTED } from './session/link.js';

/** A socket that is served without a handshake. */
export interface ServedSocket {
  /** `TransmissionFlag` bits that its client may rely on. */
  readonly transmissionFlags: number;
  /** Resolves when the socket and the export are closed: 'disconnected' when the client said so (DISC). */
  readonly closed: Promise<'disconnected' | 'lost'>;
  /**
   * Gives the socket up between two requests, for another process to go on with: the descriptor is the caller's
   * again, and the export is closed. Resolves with what was received and not served; undefined when it has ended.
   */
  part(): Promise<Uint8Array | undefined>;
  /** Takes nothing more from it, and ends when what is under way has ended. */
  drop(): void;
}

/**
 * Serves a connected stream socket, non-blocking. The descriptor and the export are the server's from here on. Replies are simple.
 * `leftover`: what another process has received from it.
 */
export function serveKernel(
  reactors: ReactorPool,
  peer: Peer,
  fd: number,
  opened: OpenedExport,
  leftover: Uint8Array = new Uint8Array(0),
): ServedSocket {
  const { info } = opened;
  let id = 0;
  const closed = new Promise<'disconnected' | 'lost'>((resolve) => {
    id = reactors.adopt(
      { fd, opened, mode: 'simple', contexts: [], minimumBlock: 1, readOnly: info.readOnly, leftover },
      (reason) => {
        peer.leave();
        void opened.release().then(() => resolve(reason === DISCONNECTED ? 'disconnected' : 'lost'));
      },
    );
  });
  const part = async (): Promise<Uint8Array | undefined> => {
    const rest = await reactors.part(id);
    if (rest !== undefined) {
      peer.leave();
      await opened.release();
    }
    return rest;
  };
  return {
    transmissionFlags: transmissionFlags(info, { mode: 'simple', readOnly: false, contexts: [] }),
    closed,
    part,
    drop: () => reactors.drop(id, 'another socket of the device timed out'),
  };
}
