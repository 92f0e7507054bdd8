/** Where in the code a lock was acquired or released. */

/** V8 formats `stack` only when it is read: taking a site costs microseconds, showing it is paid by reports only. */
export interface Site {
  readonly stack?: string;
}

/** A function whose caller is the site: the frames above it are left out. */
export type Frame = (...args: never[]) => unknown;

/** Frames of this folder and of Node itself are in between, so a site looks further up than an error does. */
const DEPTH = 24;
/** Compiled or source-mapped, as a path or a URL. */
const OWN_FRAME = /[\\/]driver[\\/]locks[\\/]|\(?node:/;

export function captureSite(below: Frame): Site {
  const site: Site = {};
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = DEPTH;
  Error.captureStackTrace(site, below);
  Error.stackTraceLimit = limit;
  return site;
}

/** The site's stack, innermost first, without the validator's own frames and Node's. */
export const stackLines = (site: Site): string[] =>
  (site.stack ?? '')
    .split('\n')
    .slice(1)
    .map((line) => line.trim())
    .filter((line) => line !== '' && !OWN_FRAME.test(line));
