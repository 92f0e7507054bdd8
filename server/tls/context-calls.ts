/** Functions of OpenSSL that settings are made with. Addresses and results as in `system/openssl.ts`. */
import { opensslLibrary } from '../system/openssl.js';

type Call<A extends unknown[]> = (...args: A) => number;
type Library = NonNullable<ReturnType<typeof opensslLibrary>>['library'];
/** Reads one object of a PEM text; 0 at its end. */
type ReadPem = Call<[bio: number, into: number, callback: number, password: number]>;

const declare = (library: Library) => ({
  method: library.func('intptr_t TLS_server_method()') as Call<[]>,
  create: library.func('intptr_t SSL_CTX_new(intptr_t method)') as Call<[method: number]>,
  free: library.func('void SSL_CTX_free(intptr_t context)') as (context: number) => void,
  control: library.func(
    'long SSL_CTX_ctrl(intptr_t context, int command, long value, intptr_t pointer)',
  ) as Call<[context: number, command: number, value: number, pointer: number]>,
  setOptions: library.func('int64_t SSL_CTX_set_options(intptr_t context, uint64_t options)') as Call<
    [context: number, options: number]
  >,
  setCiphers: library.func('int SSL_CTX_set_cipher_list(intptr_t context, const char *names)') as Call<
    [context: number, names: string]
  >,
  setSuites: library.func('int SSL_CTX_set_ciphersuites(intptr_t context, const char *names)') as Call<
    [context: number, names: string]
  >,
  setTickets: library.func('int SSL_CTX_set_num_tickets(intptr_t context, size_t count)') as Call<
    [context: number, count: number]
  >,
  setReadBuffer: library.func(
    'void SSL_CTX_set_default_read_buffer_len(intptr_t context, size_t length)',
  ) as (context: number, length: number) => void,
  setVerify: library.func('void SSL_CTX_set_verify(intptr_t context, int mode, uintptr_t callback)') as (
    context: number,
    mode: number,
    callback: number,
  ) => void,
  nameSessions: library.func(
    'int SSL_CTX_set_session_id_context(intptr_t context, uintptr_t name, unsigned int length)',
  ) as Call<[context: number, address: number, length: number]>,
  useCertificate: library.func('int SSL_CTX_use_certificate(intptr_t context, intptr_t certificate)') as Call<
    [context: number, certificate: number]
  >,
  useKey: library.func('int SSL_CTX_use_PrivateKey(intptr_t context, intptr_t key)') as Call<
    [context: number, key: number]
  >,
  checkKey: library.func('int SSL_CTX_check_private_key(intptr_t context)') as Call<[context: number]>,
  announceAuthority: library.func(
    'int SSL_CTX_add_client_CA(intptr_t context, intptr_t certificate)',
  ) as Call<[context: number, certificate: number]>,
  storeOf: library.func('intptr_t SSL_CTX_get_cert_store(intptr_t context)') as Call<[context: number]>,
  addAuthority: library.func('int X509_STORE_add_cert(intptr_t store, intptr_t certificate)') as Call<
    [store: number, certificate: number]
  >,
  addRevoked: library.func('int X509_STORE_add_crl(intptr_t store, intptr_t list)') as Call<
    [store: number, list: number]
  >,
  setStoreFlags: library.func('int X509_STORE_set_flags(intptr_t store, unsigned long flags)') as Call<
    [store: number, flags: number]
  >,
  textBio: library.func('intptr_t BIO_new_mem_buf(uintptr_t bytes, int length)') as Call<
    [address: number, length: number]
  >,
  memoryMethod: library.func('intptr_t BIO_s_mem()') as Call<[]>,
  createBio: library.func('intptr_t BIO_new(intptr_t method)') as Call<[method: number]>,
  freeBio: library.func('int BIO_free(intptr_t bio)') as Call<[bio: number]>,
  readCertificate: library.func(
    'intptr_t PEM_read_bio_X509_AUX(intptr_t bio, uintptr_t into, uintptr_t callback, uintptr_t password)',
  ) as ReadPem,
  readKey: library.func(
    'intptr_t PEM_read_bio_PrivateKey(intptr_t bio, uintptr_t into, uintptr_t callback, uintptr_t password)',
  ) as ReadPem,
  readRevoked: library.func(
    'intptr_t PEM_read_bio_X509_CRL(intptr_t bio, uintptr_t into, uintptr_t callback, uintptr_t password)',
  ) as ReadPem,
  freeCertificate: library.func('void X509_free(intptr_t certificate)') as (certificate: number) => void,
  freeKey: library.func('void EVP_PKEY_free(intptr_t key)') as (key: number) => void,
  freeRevoked: library.func('void X509_CRL_free(intptr_t list)') as (list: number) => void,
  createConnection: library.func('intptr_t SSL_new(intptr_t context)') as Call<[context: number]>,
  setBios: library.func('void SSL_set_bio(intptr_t ssl, intptr_t input, intptr_t output)') as (
    ssl: number,
    input: number,
    output: number,
  ) => void,
  acceptLater: library.func('void SSL_set_accept_state(intptr_t ssl)') as (ssl: number) => void,
});

export type ContextCalls = ReturnType<typeof declare>;

let functions: ContextCalls | undefined;

/** Undefined where there is no OpenSSL that can be used. */
export const contextCalls = (): ContextCalls | undefined => {
  const found = opensslLibrary();
  if (found !== undefined) functions ??= declare(found.library);
  return functions;
};
