/** What clients may cost, in numbers an administrator can set. */
import { DEFAULT_LIMITS, type NegotiationLimits } from './negotiation/options.js';

export interface ServerLimits {
  /** Connections at a time, handshakes included. */
  readonly maxConnections: number;
  /** Connections at a time from one address; Unix sockets do not count. */
  readonly maxConnectionsPerPeer: number;
  /** Milliseconds from accept to the end of the handshake. */
  readonly handshakeTimeout: number;
  /** Bytes of an export's name, at most 4096. */
  readonly maxName: number;
  /** Bytes of an option's data. */
  readonly maxOption: number;
  /** Options before an export is chosen. */
  readonly maxOptions: number;
  /** Bytes a READ or WRITE may carry; a multiple of every block size. */
  readonly maxPayload: number;
}

export const DEFAULT_SERVER_LIMITS: ServerLimits = {
  maxConnections: 1024,
  maxConnectionsPerPeer: 512,
  handshakeTimeout: 10_000,
  maxName: DEFAULT_LIMITS.maxNameBytes,
  maxOption: DEFAULT_LIMITS.maxOptionBytes,
  maxOptions: DEFAULT_LIMITS.maxOptions,
  maxPayload: DEFAULT_LIMITS.maxPayloadBytes,
};

/** Those that a handshake keeps to. */
export const negotiationLimits = (limits: ServerLimits): NegotiationLimits => ({
  ...DEFAULT_LIMITS,
  maxNameBytes: limits.maxName,
  maxOptionBytes: limits.maxOption,
  maxOptions: limits.maxOptions,
  maxPayloadBytes: limits.maxPayload,
});
