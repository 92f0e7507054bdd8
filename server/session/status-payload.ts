import type { NegotiatedContext } from '../negotiation/outcome.js';
import type { Request } from '../wire/request.js';

const TWO_TO_32 = 4294967296;
/** Effect length, u64. */
const LENGTH_BYTES = 8;
const ID_BYTES = 4;

/** Bytes of payload a BLOCK_STATUS can have: it names each selected context once at most. */
export const maxStatusPayload = (contexts: readonly NegotiatedContext[]): number =>
  LENGTH_BYTES + ID_BYTES * contexts.length;

/**
 * Reads the payload of a BLOCK_STATUS with PAYLOAD_LEN at `at`: the length of the range, which takes the place of
 * the payload's in the request, and the ids of the contexts to tell of. Undefined when it has no id, one that was
 * not selected, one twice, or half a one.
 */
export function readStatusPayload(
  view: DataView,
  at: number,
  request: Request,
  contexts: readonly NegotiatedContext[],
): readonly NegotiatedContext[] | undefined {
  const count = (request.length - LENGTH_BYTES) / ID_BYTES;
  if (count < 1 || !Number.isInteger(count)) return undefined;
  request.length = view.getUint32(at) * TWO_TO_32 + view.getUint32(at + 4);
  const ids = new Set<number>();
  for (let i = 0; i < count; i++) ids.add(view.getUint32(at + LENGTH_BYTES + i * ID_BYTES));
  const named = contexts.filter(({ id }) => ids.has(id));
  return named.length === count ? named : undefined;
}
