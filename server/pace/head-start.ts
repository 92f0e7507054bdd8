import { type ComparisonOptions, Side } from './comparison.js';

/** The first bytes of a lone reply are sent before the request is carried out. */
export const AHEAD: Side = Side.USUAL;
/** The reply is sent whole. */
const WHOLE: Side = Side.OTHER;

/**
 * How it is found out, in requests, which of the two serves a client better. One that asks one thing at a time sleeps
 * while it waits. Its wake-up takes as long as a small request does, and goes on meanwhile when those bytes, which are
 * the same whatever comes of the request, begin it. But they cost a system call, and a client that wakes up faster than
 * that finds no more than them.
 *
 * While a client starts, other things keep its neighbours busy, so that it may share the reactor's processor for some
 * milliseconds: what is found then would not hold.
 */
export const HEAD_START: ComparisonOptions = {
  lap: 512,
  runUp: 16,
  first: 1 << 12,
  atFirst: WHOLE,
  hold: 1 << 15,
  maxHold: 1 << 16,
  faster: 1.02,
};
