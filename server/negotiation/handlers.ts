import { Opt } from '../wire/constants.js';
import { exportName } from './export-name.js';
import { go, info } from './info-go.js';
import { list } from './list.js';
import { listMetaContext, setMetaContext } from './meta-context.js';
import { extendedHeaders, structuredReply } from './reply-mode.js';
import type { OptionHandler } from './session.js';
import { startTls } from './starttls.js';

/** Option number → what serves it. A number that is not here gets ERR_UNSUP; ABORT, which `judge` answers, aside. */
export const HANDLERS: ReadonlyMap<number, OptionHandler> = new Map([
  [Opt.EXPORT_NAME, exportName],
  [Opt.LIST, list],
  [Opt.STARTTLS, startTls],
  [Opt.INFO, info],
  [Opt.GO, go],
  [Opt.STRUCTURED_REPLY, structuredReply],
  [Opt.LIST_META_CONTEXT, listMetaContext],
  [Opt.SET_META_CONTEXT, setMetaContext],
  [Opt.EXTENDED_HEADERS, extendedHeaders],
]);
