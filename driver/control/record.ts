/**
 * Says on this machine where a daemon's control socket is, wherever that is: a socket in the abstract name space whose name
 * holds the path. It goes with the process, however that ends, and nothing is served on it. Whoever reads it looks at
 * the owner of the socket at that path: anybody can make such a name.
 */

import { createServer, type Server } from 'node:net';
import { RECORD_PREFIX } from './run-directory.js';

/** A daemon that hands over to this one has the name until it has ended: so often it is tried again. */
const ATTEMPTS = 50;
const RETRY_MS = 200;
/** An address holds so many bytes, the zero before an abstract name among them (unix(7)). */
const MAX_BYTES = 108;

export interface ControlRecord {
  /** Idempotent. */
  close(): void;
}

/** `path`: absolute. One that is too long is not recorded. Never fails: it is a convenience. */
export function recordControl(path: string): ControlRecord {
  const name = `\0${RECORD_PREFIX}${path}`;
  let server: Server | undefined;
  let timer: NodeJS.Timeout | undefined;
  let isClosed = Buffer.byteLength(name) > MAX_BYTES;
  const attempt = (left: number): void => {
    if (isClosed) return;
    const listener = createServer((socket) => socket.destroy()).unref();
    // Also where a caller can't be accepted, for want of descriptors: that is of no account.
    listener.on('error', () => {
      if (listener.listening || left === 0 || isClosed) return;
      timer = setTimeout(() => attempt(left - 1), RETRY_MS).unref();
    });
    server = listener.listen(name);
  };
  attempt(ATTEMPTS);
  return {
    close: () => {
      isClosed = true;
      clearTimeout(timer);
      server?.close();
    },
  };
}
