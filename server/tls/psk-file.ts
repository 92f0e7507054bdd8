/**
 * Suites of OpenSSL for pre-shared keys, of servers and clients. Those with SHA-256 come first: in TLS 1.3 a key without a hash
 * of its own is bound to that one.
 */
export const PSK_SUITES = 'TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:ECDHE+PSK+AESGCM:PSK+AESGCM';

/** Pre-shared keys by identity. */
export type PskKeys = ReadonlyMap<string, Buffer>;

/**
 * Reads the format of GnuTLS's psktool: a `user:hexkey` a line, where a user that starts with `#` is written in
 * hex itself. Empty lines are passed over. On the first line that does not fit, its number, counted from 1.
 */
export const parsePskFile = (text: string): PskKeys | { readonly line: number } => {
  const keys = new Map<string, Buffer>();
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === '') continue;
    const [, user, key] = /^([^:]+):((?:[0-9a-f]{2})+)\s*$/i.exec(line) ?? [];
    const identity = user && decodeUser(user);
    if (identity === undefined || key === undefined) return { line: index + 1 };
    keys.set(identity, Buffer.from(key, 'hex'));
  }
  return keys;
};

const decodeUser = (user: string): string | undefined => {
  if (!user.startsWith('#')) return user;
  return /^#(?:[0-9a-f]{2})+$/i.test(user) ? Buffer.from(user.slice(1), 'hex').toString('utf8') : undefined;
};
