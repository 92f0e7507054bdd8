/** What the daemon and a thread that carries TLS tell each other. Types only. */

import type { ErrnoName } from '../errno.js';
import type { ExportFacts } from './facts.js';
import type { RemoteTls } from './tls.js';
import type { RemoteAddress } from './uri.js';

export interface CarrierData {
  readonly address: RemoteAddress;
  readonly tls: RemoteTls;
}

/** `fd`: the kernel's end, the receiver's from then on. */
export type FromCarrier =
  | { readonly kind: 'agreed'; readonly facts: ExportFacts; readonly fd: number }
  | { readonly kind: 'failed'; readonly errno: ErrnoName; readonly message: string };
