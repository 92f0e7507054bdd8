/**
 * TLS connections of OpenSSL, through koffi: Node exports the functions of the library that it is built with or against.
 *
 * What C knows as pointers are addresses here (Numbers). An SSL object belongs to one thread at a time; what OpenSSL says
 * of an error is kept by the thread on which it happened.
 */
import koffi from 'koffi';
import { addressOf } from './sockets.js';

type Library = ReturnType<typeof koffi.load>;
type Call<A extends unknown[]> = (...args: A) => number;

/** Where the functions were found. */
export interface Found {
  readonly library: Library;
  /** 'node', or the name of the library in its place. */
  readonly where: string;
}

/** Node's own first: its version is the one that was tested. */
const PLACES = [null, 'libssl.so.3'] as const;
/** Tells a library by a function of each half of OpenSSL; a `libssl` brings its `libcrypto` with it. */
const has = (library: Library): boolean => {
  try {
    library.func('int SSL_read(intptr_t ssl, uintptr_t buffer, int length)');
    library.func('void ERR_clear_error()');
    return true;
  } catch {
    return false;
  }
};

const load = (name: string | null): Library | undefined => {
  try {
    return koffi.load(name);
  } catch {
    return undefined;
  }
};

const find = (): Found | undefined => {
  for (const place of PLACES) {
    const library = load(place);
    if (library !== undefined && has(library)) return { library, where: place ?? 'node' };
  }
  return undefined;
};

let found: Found | undefined;

/** The library; undefined where there is none that can be used. */
export const opensslLibrary = (): Found | undefined => {
  found ??= find();
  return found;
};

/** What SSL_get_error says. */
export const SslError = { SSL: 1, WANT_READ: 2, WANT_WRITE: 3, SYSCALL: 5, ZERO_RETURN: 6 } as const;

const BIO_CTRL_PENDING = 10;
const BIO_NOCLOSE = 0;
/** ERR_GET_REASON of a library's error. */
const REASON_MASK = 0x7fffff;
/** Alerts of the peer are reasons from here on. */
const ALERT_OFFSET = 1000;
const LAST_ALERT = 255;

const declare = (library: Library) => ({
  free: library.func('void SSL_free(intptr_t ssl)') as (ssl: number) => void,
  doHandshake: library.func('int SSL_do_handshake(intptr_t ssl)') as Call<[ssl: number]>,
  read: library.func('int SSL_read(intptr_t ssl, uintptr_t buffer, int length)') as Call<
    [ssl: number, address: number, length: number]
  >,
  write: library.func('int SSL_write(intptr_t ssl, uintptr_t buffer, int length)') as Call<
    [ssl: number, address: number, length: number]
  >,
  /** Bytes are here, decrypted or not, which no poll tells of. */
  hasPending: library.func('int SSL_has_pending(intptr_t ssl)') as Call<[ssl: number]>,
  /** Says goodbye: close_notify. */
  shutdown: library.func('int SSL_shutdown(intptr_t ssl)') as Call<[ssl: number]>,
  errorOf: library.func('int SSL_get_error(intptr_t ssl, int result)') as Call<[ssl: number, result: number]>,
  inputOf: library.func('intptr_t SSL_get_rbio(intptr_t ssl)') as Call<[ssl: number]>,
  outputOf: library.func('intptr_t SSL_get_wbio(intptr_t ssl)') as Call<[ssl: number]>,
  setInput: library.func('void SSL_set0_rbio(intptr_t ssl, intptr_t bio)') as (
    ssl: number,
    bio: number,
  ) => void,
  setOutput: library.func('void SSL_set0_wbio(intptr_t ssl, intptr_t bio)') as (
    ssl: number,
    bio: number,
  ) => void,
  bioRead: library.func('int BIO_read(intptr_t bio, uintptr_t buffer, int length)') as Call<
    [bio: number, address: number, length: number]
  >,
  bioWrite: library.func('int BIO_write(intptr_t bio, uintptr_t buffer, int length)') as Call<
    [bio: number, address: number, length: number]
  >,
  bioControl: library.func('long BIO_ctrl(intptr_t bio, int command, long value, uintptr_t pointer)') as Call<
    [bio: number, command: number, value: number, pointer: number]
  >,
  socketBio: library.func('intptr_t BIO_new_socket(int fd, int close)') as Call<[fd: number, close: number]>,
  clearErrors: library.func('void ERR_clear_error()') as () => void,
  nextError: library.func('long ERR_get_error()') as Call<[]>,
  describeError: library.func(
    'void ERR_error_string_n(unsigned long error, uintptr_t text, size_t room)',
  ) as (error: number, address: number, room: number) => void,
});

/** Functions of a connection. */
export type OpenSsl = ReturnType<typeof declare>;

let functions: OpenSsl | undefined;

/** The functions, which the settings for TLS were made with: there is a library. */
export const openssl = (): OpenSsl => {
  if (functions === undefined) {
    const there = opensslLibrary();
    if (there === undefined) throw new Error('OpenSSL cannot be had');
    functions = declare(there.library);
  }
  return functions;
};

const text = Buffer.alloc(256);
const textAddress = addressOf(text);

/**
 * What OpenSSL says went wrong last on this thread, in its words: 'no shared cipher'. An alert that the peer sent is told as
 * such. Undefined: nothing. Forgets all of it.
 */
export const lastTlsError = (): string | undefined => {
  const ssl = openssl();
  const error = ssl.nextError();
  if (error === 0) return undefined;
  text.fill(0);
  ssl.describeError(error, textAddress, text.length);
  ssl.clearErrors();
  // error:0A000086:SSL routines::certificate verify failed
  const words = text.toString('latin1', 0, text.indexOf(0)).split(':').slice(4).join(':');
  const reason = error & REASON_MASK;
  if (reason < ALERT_OFFSET || reason > ALERT_OFFSET + LAST_ALERT) return words;
  return `the client sent the alert '${words.replace(/^(sslv3|tlsv1|tlsv13) alert /, '')}'`;
};

const SCRATCH = new Uint8Array(16 << 10);
const SCRATCH_ADDRESS = addressOf(SCRATCH);

/** All that a connection wants to have sent, of one that writes to memory. */
export const takeOutput = (ssl: number): Buffer => {
  const { outputOf, bioControl, bioRead } = openssl();
  const bio = outputOf(ssl);
  const bytes = Buffer.allocUnsafe(bioControl(bio, BIO_CTRL_PENDING, 0, 0));
  for (let at = 0; at < bytes.length; ) {
    const count = bioRead(bio, SCRATCH_ADDRESS, Math.min(SCRATCH.length, bytes.length - at));
    if (count <= 0) return bytes.subarray(0, at);
    bytes.set(SCRATCH.subarray(0, count), at);
    at += count;
  }
  return bytes;
};

/** Gives a connection that reads from memory what was received. */
export const giveInput = (ssl: number, bytes: Uint8Array): void => {
  const { inputOf, bioWrite } = openssl();
  const bio = inputOf(ssl);
  for (let at = 0; at < bytes.length; at += SCRATCH.length) {
    const part = bytes.subarray(at, at + SCRATCH.length);
    SCRATCH.set(part);
    if (bioWrite(bio, SCRATCH_ADDRESS, part.length) !== part.length) throw new Error('OpenSSL has no memory');
  }
};

/** Of a connection that reads from memory: something is left there. */
export const hasInput = (ssl: number): boolean => {
  const { inputOf, bioControl } = openssl();
  return bioControl(inputOf(ssl), BIO_CTRL_PENDING, 0, 0) > 0;
};

/** What a connection reads from or writes to when it is a socket, which stays open when the connection is freed. */
export const socketBio = (fd: number): number => {
  const bio = openssl().socketBio(fd, BIO_NOCLOSE);
  if (bio === 0) throw new Error('OpenSSL has no memory');
  return bio;
};
