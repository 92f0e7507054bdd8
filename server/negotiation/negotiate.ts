/** The fixed newstyle handshake, from the greeting to one outcome ("Newstyle negotiation"). */

import type { Duplex } from 'node:stream';
import { ClientFlag, Opt, Size } from '../wire/constants.js';
import { decodeClientFlags, decodeOptionHeader, encodeGreeting } from '../wire/option.js';
import { ByteStream } from './byte-stream.js';
import type { NegotiationOptions } from './options.js';
import type { DroppedOutcome, NegotiationOutcome, StartTlsOutcome } from './outcome.js';
import { judge } from './policy.js';
import { type Answer, drop, type Ending, NOTHING_CHOSEN, type Session } from './session.js';

/**
 * Speaks the handshake on `stream` until it ends, one option at a time. The stream is left open and keeps no
 * listener of ours: a caller that gets `closed` or `dropped` destroys it; one that gets `transmission` or
 * `starttls` goes on with it in the same turn of the event loop, because nobody reads it from here on.
 *
 * Rejects only for our own bugs.
 */
export const negotiate = (stream: Duplex, options: NegotiationOptions): Promise<NegotiationOutcome> =>
  withByteStream(stream, options, async (bytes) => {
    if (!(await bytes.write(encodeGreeting()))) return gone(options);
    const flagBytes = await bytes.take(Size.CLIENT_FLAGS);
    if (flagBytes === undefined) return gone(options);
    const clientFlags = decodeClientFlags(flagBytes);
    if (clientFlags & ~KNOWN_CLIENT_FLAGS) {
      return dropped(`unknown client flags 0x${clientFlags.toString(16)}`);
    }
    return haggle(bytes, newSession(options, clientFlags, { secure: false }));
  });

/** The same after STARTTLS, on the TLS stream: options go on where they stopped, with nothing remembered. */
export const negotiateOverTls = (
  stream: Duplex,
  options: NegotiationOptions,
  { clientFlags }: StartTlsOutcome,
): Promise<NegotiationOutcome> =>
  withByteStream(stream, options, (bytes) =>
    haggle(bytes, newSession(options, clientFlags, { secure: true })),
  );

const KNOWN_CLIENT_FLAGS = ClientFlag.FIXED_NEWSTYLE | ClientFlag.NO_ZEROES;

const newSession = (
  options: NegotiationOptions,
  clientFlags: number,
  { secure }: { readonly secure: boolean },
): Session => ({
  options,
  clientFlags,
  secure,
  mode: 'simple',
  chosen: NOTHING_CHOSEN,
});

const withByteStream = async (
  stream: Duplex,
  options: NegotiationOptions,
  speak: (bytes: ByteStream) => Promise<Ending>,
): Promise<NegotiationOutcome> => {
  const bytes = new ByteStream(stream, options.signal);
  try {
    const ending = await speak(bytes);
    return ending.kind === 'transmission' ? { ...ending, leftover: bytes.rest() } : ending;
  } finally {
    bytes.detach();
  }
};

/** Options until one of them ends the handshake. */
const haggle = async (bytes: ByteStream, session: Session): Promise<Ending> => {
  const { options } = session;
  const { maxOptions } = options.limits;
  for (let count = 0; count <= maxOptions; count++) {
    const answer = await nextOption(bytes, session);
    if (answer === undefined) return gone(options);
    if (count === maxOptions && answer.outcome === undefined) break;
    const ending = await deliver(bytes, answer, options);
    if (ending !== undefined) return ending;
  }
  return dropped(`more than ${maxOptions} options`);
};

/** Reads and serves one option; undefined when the stream is over. */
const nextOption = async (bytes: ByteStream, session: Session): Promise<Answer | undefined> => {
  const headerBytes = await bytes.take(Size.OPTION_HEADER);
  if (headerBytes === undefined) return undefined;
  const header = decodeOptionHeader(headerBytes);
  if (header === undefined) return drop('an option that does not start with IHAVEOPT');

  // Every call replaces the selection, also one that is refused unread.
  if (header.option === Opt.SET_META_CONTEXT) session.chosen = NOTHING_CHOSEN;
  const verdict = judge(header, session);
  if (typeof verdict === 'function') {
    const data = await bytes.take(header.length);
    return data && verdict(session, data);
  }
  if (verdict.outcome?.kind === 'dropped') return verdict;
  return (await bytes.skip(header.length)) ? verdict : undefined;
};

/** Sends the replies. The ending, if this is one; an export that it opened is released if the client is gone. */
const deliver = async (
  bytes: ByteStream,
  { replies, outcome }: Answer,
  options: NegotiationOptions,
): Promise<Ending | undefined> => {
  // What was sent in plain text behind STARTTLS must never be taken for something said over TLS.
  if (outcome?.kind === 'starttls') bytes.rest();
  const delivered = replies.length === 0 || (await bytes.write(Buffer.concat(replies)));
  if (delivered && !bytes.broken) return outcome;
  if (outcome?.kind === 'dropped') return outcome;
  if (outcome?.kind === 'transmission') await outcome.opened.release();
  return gone(options);
};

const gone = ({ signal }: NegotiationOptions): Ending => ({
  kind: 'closed',
  reason: signal.aborted ? String(signal.reason) : 'the client left during the handshake',
});

const dropped = (reason: string): DroppedOutcome => ({ kind: 'dropped', reason });
