/** What the options of one handshake have agreed on so far, and the form of an option's answer. */

import { Rep } from '../wire/constants.js';
import { encodeOptionReply } from '../wire/option.js';
import { encodeText } from '../wire/text.js';
import type { NegotiationOptions } from './options.js';
import type { NegotiatedContext, NegotiationOutcome, ReplyMode } from './outcome.js';

/** State that options change; STARTTLS begins with a fresh one. */
export interface Session {
  readonly options: NegotiationOptions;
  /** `ClientFlag` bits, all of them known. */
  readonly clientFlags: number;
  /** The stream is TLS. */
  readonly secure: boolean;
  mode: ReplyMode;
  /** What SET_META_CONTEXT chose, valid for the export name it was sent with. */
  chosen: { readonly exportName: string; readonly contexts: readonly NegotiatedContext[] };
}

export const NOTHING_CHOSEN: Session['chosen'] = { exportName: '', contexts: [] };

/** What is said to the client, and whether the handshake goes on. */
export interface Answer {
  /** Sent in one write. */
  readonly replies: readonly Buffer[];
  /** Ends the handshake once the replies left. An opened export in it is released if they cannot. */
  readonly outcome?: Ending;
}

/** `leftover` is known only when the replies have left. */
export type Ending =
  | Exclude<NegotiationOutcome, { readonly kind: 'transmission' }>
  | Omit<Extract<NegotiationOutcome, { readonly kind: 'transmission' }>, 'leftover'>;

/** Serves one option; `data` is complete and within the limits. */
export type OptionHandler = (session: Session, data: Buffer) => Answer | Promise<Answer>;

/** Only ACK. */
export const ack = (option: number): Answer => ({ replies: [encodeOptionReply(option, Rep.ACK)] });

/** A final error of type `Rep.ERR_*` with a sentence for a human. */
export const refuse = (option: number, type: number, message: string): Answer => ({
  replies: [encodeOptionReply(option, type, encodeText(message))],
});

/** Hang up without a word: where the protocol has no way to answer, or the client deserves none. */
export const drop = (reason: string): Answer => ({
  replies: [],
  outcome: { kind: 'dropped', reason },
});
