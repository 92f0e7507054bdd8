/** Who may connect, as the user says it, and its change while the daemon runs. */

import type { ServerTls } from './handshake.js';
import type { ServerLimits } from './limits.js';
import { type Permission, parsePermission } from './negotiation/permissions.js';
import { loadTls, type TlsFiles, TlsSettingsError } from './tls/tls-settings.js';

/** Files, and whether clients may do without. */
export interface TlsSettings extends TlsFiles {
  readonly isRequired: boolean;
}

/** What a reload reads anew. Absent fields take the server's defaults. */
export interface AccessSettings {
  readonly tls?: TlsSettings;
  /** What TLS clients may use, `EXPORT[:ro]=KIND:NAME` each (`parsePermission`); absent or empty: everything. */
  readonly tlsAllow?: readonly string[];
  /** A reload ends sessions whose pre-shared key is gone, or who may not use their export any more. */
  readonly dropRevoked?: boolean;
  /** Networks whose clients are served over TCP; empty: all. */
  readonly allow?: readonly string[];
  readonly maxConnections?: number;
  readonly maxConnectionsPerPeer?: number;
  /** Seconds from accept to the end of the handshake. */
  readonly handshakeTimeout?: number;
  /** Bytes of an export's name, at most 4096; bytes of an option's data; options before an export is chosen. */
  readonly maxName?: number;
  readonly maxOption?: number;
  readonly maxOptions?: number;
  /** Bytes a READ or WRITE may carry: whole 64 KiB. */
  readonly maxPayload?: number;
}

/** Who may connect, to what, and how much of it: what `reconfigure` changes while the server runs. */
export interface ServerAccess {
  readonly limits?: Partial<ServerLimits>;
  /** Addresses and networks that may connect over TCP; absent or empty: all. */
  readonly allow?: readonly string[];
  readonly tls?: ServerTls | undefined;
  /** What TLS clients may use; absent or empty: everything. Otherwise TCP clients without TLS may use nothing. */
  readonly permissions?: readonly Permission[];
}

/** Reads the files. Throws, with an errno and a sentence, where they cannot be used. */
export function serverAccess(settings: AccessSettings): ServerAccess {
  const { allow = [], tlsAllow = [] } = settings;
  const tls = tlsOf(settings);
  if (tls === undefined && tlsAllow.length > 0) {
    throw new TlsSettingsError('EINVAL', '--tls-allow needs TLS: it goes by what a client shows there');
  }
  return { limits: limitsOf(settings), allow, tls, permissions: tlsAllow.map(permissionOf) };
}

function permissionOf(text: string): Permission {
  const permission = parsePermission(text);
  if (permission !== undefined) return permission;
  throw new TlsSettingsError('EINVAL', `'${text}' is not EXPORT[:ro]=psk:USER, =dn:SUBJECT or =san:NAME`);
}

function tlsOf({ tls }: AccessSettings): ServerTls | undefined {
  const { isRequired = false, ...files } = tls ?? {};
  const context = loadTls(files);
  if (context !== undefined) return { context, isRequired };
  if (isRequired)
    throw new TlsSettingsError('EINVAL', 'TLS cannot be required without a certificate or a key file');
  return undefined;
}

/** What is given; the server has defaults for the rest. */
function limitsOf(settings: AccessSettings): Partial<ServerLimits> {
  const { maxConnections, maxConnectionsPerPeer, handshakeTimeout } = settings;
  const { maxName, maxOption, maxOptions, maxPayload } = settings;
  return {
    ...(maxConnections !== undefined && { maxConnections }),
    ...(maxConnectionsPerPeer !== undefined && { maxConnectionsPerPeer }),
    ...(handshakeTimeout !== undefined && { handshakeTimeout: handshakeTimeout * 1000 }),
    ...(maxName !== undefined && { maxName }),
    ...(maxOption !== undefined && { maxOption }),
    ...(maxOptions !== undefined && { maxOptions }),
    ...(maxPayload !== undefined && { maxPayload }),
  };
}
