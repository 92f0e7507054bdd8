/** What the main thread and a reactor tell each other. */
import type { MessagePort } from 'node:worker_threads';
import type { SessionTerms } from '../session/terms.js';

export type ToReactor =
  | Adopt
  /** Serve what has been received, then end every connection. */
  | { readonly kind: 'drain' }
  /** Give one connection up between two requests, with the socket open: somebody else goes on with it. */
  | { readonly kind: 'part'; readonly id: number }
  /** End one connection now. */
  | { readonly kind: 'drop'; readonly id: number; readonly reason: string }
  /** End every connection now, and the thread. */
  | { readonly kind: 'stop' };

/** A connection for the thread. */
export interface Adopt extends SessionTerms {
  readonly kind: 'adopt';
  readonly id: number;
  /** Non-blocking; the reactor's from here on. */
  readonly fd: number;
  /** Address of the TLS connection on it, which is the reactor's, too; absent: there is none. */
  readonly tls?: number | undefined;
  /** Its number, and what its `Backend` is made of. */
  readonly device: number;
  readonly shared: SharedArrayBuffer;
  readonly leftover: Uint8Array;
  /** What it may wait for (`OpenedExport.domain`). */
  readonly domain: string;
}

export type FromReactor =
  | { readonly kind: 'ready' }
  | { readonly kind: 'closed'; readonly id: number; readonly reason: string }
  /** `leftover`: what was received of requests that were not begun. */
  | { readonly kind: 'parted'; readonly id: number; readonly leftover: Uint8Array }
  | { readonly kind: 'stopped' };

/** What a reactor's thread starts with. */
export interface ReactorData {
  readonly lane: number;
  /** URL of the module that exports `openDataPath`. */
  readonly dataPath: string;
  /** For the data path; absent where whoever made the pool gave none. */
  readonly port: MessagePort | undefined;
  /** An eventfd that wakes the thread. */
  readonly wakeFd: number;
  /** One word, nonzero when the eventfd was written since the thread last looked. */
  readonly wakeWord: SharedArrayBuffer;
  /** What `AwakeCores` opens; undefined: processors sleep as they like. */
  readonly cpuLatencyFile: string | undefined;
}
