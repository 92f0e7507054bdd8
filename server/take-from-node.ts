/** How a connection comes from Node, which shook hands, to a thread that serves it. */
import type { Socket } from 'node:net';
import type { Secure } from './handshake.js';
import type { TransmissionOutcome } from './negotiation/outcome.js';
import type { Adopted } from './reactor/reactor-pool.js';
import { openssl } from './system/openssl.js';
import { close, duplicate } from './system/sockets.js';
import { TransmissionFlag } from './wire/constants.js';

/** Node's socket is gone afterwards; `lost`: the connection, too, for this reason. */
export function takeFromNode(
  socket: Socket,
  secure: Secure | undefined,
  outcome: TransmissionOutcome,
  maxPayload: number,
): Adopted | { readonly lost: string } {
  const { opened, mode, contexts, leftover } = outcome;
  const minimumBlock = outcome.blockSizesNegotiated ? opened.info.blockSizes.minimum : 1;
  const has = (flag: number): boolean => (outcome.transmissionFlags & flag) !== 0;
  const readOnly = has(TransmissionFlag.READ_ONLY);
  const fastZero = has(TransmissionFlag.SEND_FAST_ZERO);
  const adopted = { opened, mode, contexts, minimumBlock, readOnly, maxPayload, fastZero, leftover };
  const fd = duplicate(descriptorOf(socket));
  const handed = secure?.stream.handOver();
  const isWhole = fd >= 0 && (secure === undefined || handed !== undefined);
  if (handed === undefined) secure?.stream.destroy();
  socket.destroy();
  if (!isWhole) {
    if (handed !== undefined) openssl().free(handed.ssl);
    if (fd >= 0) close(fd);
    return {
      lost: fd < 0 ? 'no descriptor could be had for it' : 'the client left before its first request',
    };
  }
  const tls = handed && { tls: handed.ssl, leftover: Buffer.concat([leftover, handed.leftover]) };
  return { ...adopted, fd, ...tls };
}

/** The descriptor of an accepted socket, which Node's types do not show; -1 once it is closed. */
export const descriptorOf = (socket: Socket): number =>
  (socket as unknown as { readonly _handle: { readonly fd: number } | null })._handle?.fd ?? -1;
