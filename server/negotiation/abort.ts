import { Opt } from '../wire/constants.js';
import { type Answer, ack } from './session.js';

/** ABORT: a polite goodbye; data with it is ignored, as the protocol asks, however much it is. */
export const abort = (): Answer => ({
  ...ack(Opt.ABORT),
  outcome: { kind: 'closed', reason: 'the client aborted the negotiation' },
});
