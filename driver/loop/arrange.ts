import type { WrapperDescription, WrapperKind } from '../store/description.js';

/** From the inside to the outside; what is not named lies further in. */
const ORDER: readonly WrapperKind[] = ['volatile', 'log', 'limits', 'faults'];

/** The wrappers with another one of its kind, or none. */
export function arranged(
  present: readonly WrapperDescription[],
  kind: WrapperKind,
  wrapper: WrapperDescription | undefined,
): WrapperDescription[] {
  const others = present.filter((one) => one.kind !== kind);
  const all = wrapper === undefined ? others : [...others, wrapper];
  return all.sort((a, b) => ORDER.indexOf(a.kind) - ORDER.indexOf(b.kind));
}

/** The wrapper of a kind, if there is one. */
export const wrapperOf = <K extends WrapperKind>(
  wrappers: readonly WrapperDescription[],
  kind: K,
): Extract<WrapperDescription, { kind: K }> | undefined =>
  wrappers.find((one): one is Extract<WrapperDescription, { kind: K }> => one.kind === kind);
