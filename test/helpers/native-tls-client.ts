/** A client of OpenSSL's own, in memory, for what Node's cannot be made to send. */
import koffi from 'koffi';
import { openssl, opensslLibrary } from '../../server/system/openssl.js';
import { addressOf } from '../../server/system/sockets.js';
import { copy } from '../../server/tls/handshake-calls.js';

type Numbers = (...args: number[]) => number;

/** The address of a TLS 1.3 connection that shows `user` and its key; never freed, as a test ends soon. */
export function nativeClient(user: string, key: Buffer): number {
  const library = opensslLibrary()?.library;
  if (library === undefined) throw new Error('no OpenSSL');
  const call = (declaration: string): Numbers => library.func(declaration) as Numbers;
  const context = call('intptr_t SSL_CTX_new(intptr_t method)')(call('intptr_t TLS_client_method()')());
  const memory = call('intptr_t BIO_s_mem()')();
  const bio = call('intptr_t BIO_new(intptr_t method)');
  const ssl = call('intptr_t SSL_new(intptr_t context)')(context);
  call('void SSL_set_bio(intptr_t ssl, intptr_t input, intptr_t output)')(ssl, bio(memory), bio(memory));
  call('void SSL_set_connect_state(intptr_t ssl)')(ssl);
  const Shown = koffi.proto(
    'unsigned int ShowKey(intptr_t ssl, uintptr_t hint, uintptr_t user, unsigned int room, uintptr_t key, unsigned int most)',
  );
  const name = Buffer.from(`${user}\0`);
  const show = koffi.register((...[, , to, , keyTo]: number[]) => {
    copy(to ?? 0, addressOf(name), name.length);
    copy(keyTo ?? 0, addressOf(key), key.length);
    return key.length;
  }, koffi.pointer(Shown));
  const setKey = library.func('void SSL_set_psk_client_callback(intptr_t ssl, ShowKey *show)');
  setKey(ssl, show);
  const setSuites = library.func('int SSL_set_ciphersuites(intptr_t ssl, const char *names)');
  setSuites(ssl, 'TLS_AES_128_GCM_SHA256');
  return ssl;
}

/** Has the connection ask its peer for new keys. */
export function updateKeys(ssl: number): void {
  const library = opensslLibrary()?.library;
  update ??= library?.func('int SSL_key_update(intptr_t ssl, int kind)') as Numbers;
  update(ssl, 1);
  openssl().doHandshake(ssl);
}

let update: Numbers | undefined;
