/** NBD URIs of an export: a Unix socket first, since a client on this machine does best with it. */

export interface Addresses {
  readonly unix: readonly string[];
  readonly tcp: readonly { readonly host: string; readonly port: number }[];
  /** True where clients must use TLS. */
  readonly tls: boolean;
}

/** `nbd+unix:///loop0?socket=/run/nbdloop/nbd.sock`, `nbd://127.0.0.1:10809/loop0`; the name may be empty. */
export function exportUris({ unix, tcp, tls }: Addresses, name: string): string[] {
  const scheme = tls ? 'nbds' : 'nbd';
  const path = encodeURIComponent(name);
  return [
    ...unix.map(
      (socket) =>
        `${scheme}+unix:///${path}?socket=${encodeURI(socket).replace(/[?#&+]/g, encodeURIComponent)}`,
    ),
    ...tcp.map(({ host, port }) => `${scheme}://${reachable(host)}:${port}/${path}`),
  ];
}

/** An address that means "any" is reached on this machine by its loopback address. */
export function reachable(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1';
  if (host === '::') return '[::1]';
  return host.includes(':') ? `[${host}]` : host;
}
