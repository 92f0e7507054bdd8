/** Functions of OpenSSL for a handshake, and for what it has shown. Addresses and results as in `system/openssl.ts`. */
import koffi from 'koffi';
import { opensslLibrary } from '../system/openssl.js';

type Call<A extends unknown[]> = (...args: A) => number;
/** Copies the key of a user to an address where there is so much room, and returns its bytes; 0: there is none. */
export type FindKey = (ssl: number, user: string, address: number, room: number) => number;

const libc = koffi.load('libc.so.6');

/** memcpy(3). */
export const copy = libc.func('intptr_t memcpy(uintptr_t to, uintptr_t from, size_t length)') as Call<
  [to: number, from: number, length: number]
>;
/** strncpy(3), of a C string at an address. */
export const copyText = libc.func('intptr_t strncpy(uintptr_t to, uintptr_t from, size_t length)') as Call<
  [to: number, from: number, length: number]
>;

/** Throws where there is no OpenSSL. */
export const handshakeCalls = () => {
  const library = opensslLibrary()?.library;
  if (library === undefined) throw new Error('OpenSSL cannot be had');
  const Finder = koffi.proto(
    'unsigned int NbdloopFindKey(intptr_t ssl, const char *user, uintptr_t key, unsigned int room)',
  );
  const setFinder = library.func(
    'void SSL_set_psk_server_callback(intptr_t ssl, NbdloopFindKey *callback)',
  ) as (ssl: number, callback: ReturnType<typeof koffi.register>) => void;
  return {
    /** Keys are asked for on the thread that steps. Once a thread. */
    finder: (find: FindKey) => koffi.register(find, koffi.pointer(Finder)),
    setFinder,
    versionOf: library.func('int SSL_version(intptr_t ssl)') as Call<[ssl: number]>,
    isResumed: library.func('int SSL_session_reused(intptr_t ssl)') as Call<[ssl: number]>,
    cipherOf: library.func('intptr_t SSL_get_current_cipher(intptr_t ssl)') as Call<[ssl: number]>,
    cipherName: library.func('intptr_t SSL_CIPHER_get_name(intptr_t cipher)') as Call<[cipher: number]>,
    certificateOf: library.func('intptr_t SSL_get1_peer_certificate(intptr_t ssl)') as Call<[ssl: number]>,
    freeCertificate: library.func('void X509_free(intptr_t certificate)') as (certificate: number) => void,
    encode: library.func('int i2d_X509(intptr_t certificate, uintptr_t into)') as Call<
      [certificate: number, into: number]
    >,
    verdictOf: library.func('long SSL_get_verify_result(intptr_t ssl)') as Call<[ssl: number]>,
    describeVerdict: library.func('intptr_t X509_verify_cert_error_string(long verdict)') as Call<
      [verdict: number]
    >,
  };
};
