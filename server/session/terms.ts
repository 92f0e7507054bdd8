import type { NegotiatedContext } from '../negotiation/outcome.js';
import type { RuleOptions } from './request-rules.js';

/** What a session was promised by its handshake: it travels from there to the thread that serves it. */
export interface SessionTerms extends RuleOptions {
  readonly contexts: readonly NegotiatedContext[];
}
