import { Opt } from '../wire/constants.js';
import { ack, type OptionHandler } from './session.js';

/** ABORT: a polite goodbye; data with it is ignored, as the protocol asks. */
export const abort: OptionHandler = () => ({
  ...ack(Opt.ABORT),
  outcome: { kind: 'closed', reason: 'the client aborted the negotiation' },
});
