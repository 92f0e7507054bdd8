import type { RemoteState } from '../../../../control/messages.js';

/** Its tone, and its word: never by colour alone. */
export const REMOTE_STATES: Readonly<Record<RemoteState, readonly ['good' | 'warn' | 'bad', string]>> = {
  attached: ['good', 'attached'],
  negotiating: ['warn', 'connecting'],
  lost: ['warn', 'lost'],
  waiting: ['warn', 'waiting'],
  'given-up': ['bad', 'given up'],
};
