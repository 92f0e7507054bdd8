/** Where daemon and tools meet when nobody says otherwise. */

/** Names of the sockets in the run directory. */
export const CONTROL_SOCKET = 'control.sock';
export const NBD_SOCKET = 'nbd.sock';

/** /run/nbdloop for root, else nbdloop in XDG_RUNTIME_DIR, else a directory of the user's own in /tmp. */
export function defaultRunDirectory(
  env: Readonly<Record<string, string | undefined>> = process.env,
  uid: number = process.getuid?.() ?? 0,
): string {
  if (uid === 0) return '/run/nbdloop';
  const runtime = env.XDG_RUNTIME_DIR;
  return runtime === undefined || runtime === '' ? `/tmp/nbdloop-${uid}` : `${runtime}/nbdloop`;
}

/** Begins the abstract name by which a daemon tells where its control socket is (record.ts). */
export const RECORD_PREFIX = 'nbdloop:';
