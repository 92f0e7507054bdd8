/** LIST_META_CONTEXT and SET_META_CONTEXT: what BLOCK_STATUS will be able to tell ("Metadata querying"). */

import { Opt, Rep } from '../wire/constants.js';
import { decodeContextRequest, encodeMetaContext } from '../wire/info.js';
import { encodeOptionReply } from '../wire/option.js';
import { unknownExport } from './open-export.js';
import type { NegotiatedContext } from './outcome.js';
import { type Answer, type OptionHandler, refuse, type Session } from './session.js';

/** `namespace:` is a wildcard for the namespace, and no query means everything. */
export const listMetaContext: OptionHandler = (session, data) => {
  const request = parse(Opt.LIST_META_CONTEXT, session, data);
  if ('replies' in request) return request;
  const { queries } = request;
  const matches = ({ name }: NegotiatedContext): boolean =>
    queries.some((query) => query === name || (query.endsWith(':') && name.startsWith(query)));
  const listed = session.options.contexts.filter((context) => queries.length === 0 || matches(context));
  // The id means nothing in a listing, and should be 0.
  return reply(
    Opt.LIST_META_CONTEXT,
    listed.map(({ name }) => ({ id: 0, name })),
  );
};

/** Only exact names select. What was selected before is forgotten already, whatever becomes of this. */
export const setMetaContext: OptionHandler = (session, data) => {
  const request = parse(Opt.SET_META_CONTEXT, session, data);
  if ('replies' in request) return request;
  const contexts = session.options.contexts.filter(({ name }) => request.queries.includes(name));
  session.chosen = { exportName: request.name, contexts };
  return reply(Opt.SET_META_CONTEXT, contexts);
};

/** The request, or its refusal. Queries of unknown namespaces pass: they match nothing. */
const parse = (
  option: number,
  session: Session,
  data: Buffer,
): { readonly name: string; readonly queries: readonly string[] } | Answer => {
  if (session.mode === 'simple') {
    return refuse(option, Rep.ERR_INVALID, 'Structured replies must be agreed on first.');
  }
  const { maxNameBytes } = session.options.limits;
  const request = decodeContextRequest(data, maxNameBytes);
  if (request === undefined) {
    return refuse(option, Rep.ERR_INVALID, 'The data is not a name and a list of queries.');
  }
  if (!request.queries.every((query) => query.indexOf(':') > 0)) {
    return refuse(option, Rep.ERR_INVALID, 'A query must start with a namespace and a colon.');
  }
  if (session.options.exports.find(request.name) === undefined) {
    return refuse(option, Rep.ERR_UNKNOWN, unknownExport(request.name));
  }
  return request;
};

const reply = (option: number, contexts: readonly NegotiatedContext[]): Answer => ({
  replies: [
    ...contexts.map(({ id, name }) =>
      encodeOptionReply(option, Rep.META_CONTEXT, encodeMetaContext(id, name)),
    ),
    encodeOptionReply(option, Rep.ACK),
  ],
});
