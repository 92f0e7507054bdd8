/** Generic netlink messages: a request out of attributes, and what a datagram holds. */

import { aligned, errorHeader, genericHeader, messageHeader } from './layouts.js';

/** Message types and flags, linux/netlink.h. */
export const NLMSG_ERROR = 2;
const NLM_F_REQUEST = 1;
const NLM_F_ACK = 4;

export interface GenericRequest {
  /** Id of the family. */
  readonly family: number;
  readonly command: number;
  readonly sequence: number;
  readonly attributes: Buffer;
}

export interface GenericMessage {
  /** The family's id, or NLMSG_ERROR. */
  readonly type: number;
  readonly sequence: number;
  /** Of a family's message; 0 for others. */
  readonly command: number;
  readonly attributes: Buffer;
  /** Of NLMSG_ERROR: an errno, 0 for an acknowledgement; undefined for every other message. */
  readonly errno: number | undefined;
}

/** A request that the kernel acknowledges. */
export function encodeRequest({ family, command, sequence, attributes }: GenericRequest): Buffer {
  const length = messageHeader.span + genericHeader.span + attributes.length;
  const bytes = Buffer.alloc(length);
  messageHeader.encode({ length, type: family, flags: NLM_F_REQUEST | NLM_F_ACK, sequence, port: 0 }, bytes);
  genericHeader.encode({ command, version: 1, reserved: 0 }, bytes, messageHeader.span);
  attributes.copy(bytes, messageHeader.span + genericHeader.span);
  return bytes;
}

/** The messages of a datagram, in order. What does not fit its own length ends the list. */
export function* messagesIn(datagram: Buffer): Generator<GenericMessage> {
  for (let at = 0; at + messageHeader.span <= datagram.length; ) {
    const { length, type, sequence } = messageHeader.decode(datagram, at);
    if (length < messageHeader.span || at + length > datagram.length) return;
    const payload = datagram.subarray(at + messageHeader.span, at + length);
    yield type === NLMSG_ERROR ? errorMessage(sequence, payload) : familyMessage(type, sequence, payload);
    at += aligned(length);
  }
}

function errorMessage(sequence: number, payload: Buffer): GenericMessage {
  const error = payload.length < errorHeader.span ? 0 : errorHeader.decode(payload).error;
  return {
    type: NLMSG_ERROR,
    sequence,
    command: 0,
    attributes: Buffer.alloc(0),
    errno: error === 0 ? 0 : 2 ** 32 - error,
  };
}

function familyMessage(type: number, sequence: number, payload: Buffer): GenericMessage {
  const hasHeader = payload.length >= genericHeader.span;
  return {
    type,
    sequence,
    command: hasHeader ? genericHeader.decode(payload).command : 0,
    attributes: hasHeader ? payload.subarray(genericHeader.span) : Buffer.alloc(0),
    errno: undefined,
  };
}
