/** Finding and opening an export for GO and EXPORT_NAME. */

import type { OpenedExport } from '../export.js';
import type { NegotiatedContext } from './outcome.js';
import type { Ending, Session } from './session.js';
import { transmissionFlags } from './transmission-flags.js';

/** Why an export cannot be had, in one sentence. */
export interface Unavailable {
  readonly unavailable: string;
}

/** Takes the export with that name; an error that carries an `errno` is the export's refusal, any other is ours. */
export const openExport = async (session: Session, name: string): Promise<OpenedExport | Unavailable> => {
  const found = session.options.exports.find(name);
  if (found === undefined) return { unavailable: unknownExport(name) };
  try {
    return await found.open();
  } catch (error) {
    if (error instanceof Error && 'errno' in error) return { unavailable: error.message };
    throw error;
  }
};

export const unknownExport = (name: string): string =>
  name === '' ? 'There is no default export.' : `There is no export named '${name}'.`;

/** What SET_META_CONTEXT selected counts for the very name it was sent with. */
export const contextsFor = ({ chosen }: Session, name: string): readonly NegotiatedContext[] =>
  chosen.exportName === name ? chosen.contexts : [];

/** The end of a handshake that opened an export under `name`. */
export const enterTransmission = (
  session: Session,
  name: string,
  opened: OpenedExport,
  { blockSizesNegotiated }: { readonly blockSizesNegotiated: boolean },
): Extract<Ending, { readonly kind: 'transmission' }> => ({
  kind: 'transmission',
  opened,
  mode: session.mode,
  contexts: contextsFor(session, name),
  blockSizesNegotiated,
  transmissionFlags: transmissionFlags(opened.info, {
    mode: session.mode,
    readOnly: session.options.readOnly,
    contexts: contextsFor(session, name),
  }),
});
