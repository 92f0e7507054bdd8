/**
 * Entry of the thread on which TLS handshakes are done, one step of one client at a time: what they cost in CPU, the
 * server's signature above all, is taken from no reactor and not from the main thread, and a flood of them waits in line here.
 */
import { type MessagePort, parentPort } from 'node:worker_threads';
import { giveInput, lastTlsError, openssl, SslError, takeOutput } from '../system/openssl.js';
import { addressOf } from '../system/sockets.js';
import { copy, copyText, handshakeCalls } from './handshake-calls.js';
import type { Proof, Stepped, ToHandshaker } from './messages.js';

const port = parentPort as MessagePort;
const calls = handshakeCalls();

const PROTOCOLS: ReadonlyMap<number, string> = new Map([
  [0x0303, 'TLSv1.2'],
  [0x0304, 'TLSv1.3'],
]);
const TLS_1_3 = 0x0304;

const keysOf = new Map<number, ReadonlyMap<string, Uint8Array>>();
/** Of the step that is being done. */
let keys: ReadonlyMap<string, Uint8Array> | undefined;
let claimed: string | undefined;

const finder = calls.finder((_ssl, user, address, room) => {
  const key = keys?.get(user);
  if (key === undefined || key.length > room) return 0;
  claimed = user;
  copy(address, addressOf(key), key.length);
  return key.length;
});

const text = Buffer.alloc(128);
const textAddress = addressOf(text);
/** A C string of a library's, at an address. */
const textAt = (address: number): string => {
  text.fill(0);
  copyText(textAddress, address, text.length - 1);
  return text.toString('latin1', 0, text.indexOf(0));
};

/**
 * The handshake went by a pre-shared key, so the client has it. In TLS 1.3 that is a resumption without a session before; real
 * ones there are not (`TlsContext`).
 */
const hasProvedKey = (ssl: number): boolean =>
  calls.versionOf(ssl) === TLS_1_3
    ? calls.isResumed(ssl) === 1
    : textAt(calls.cipherName(calls.cipherOf(ssl))).includes('PSK');

/** The client's certificate. OpenSSL has verified it, or ended the handshake. */
const certificateOf = (ssl: number): Uint8Array | undefined => {
  const certificate = calls.certificateOf(ssl);
  if (certificate === 0) return undefined;
  const bytes = new Uint8Array(Math.max(0, calls.encode(certificate, 0)));
  const place = new BigUint64Array([BigInt(addressOf(bytes))]);
  calls.encode(certificate, addressOf(place));
  calls.freeCertificate(certificate);
  return bytes;
};

const proofOf = (ssl: number): Proof => {
  const certificate = certificateOf(ssl);
  return {
    protocol: PROTOCOLS.get(calls.versionOf(ssl)) ?? 'TLS',
    ...(claimed !== undefined && hasProvedKey(ssl) && { psk: claimed }),
    ...(certificate !== undefined && { certificate }),
  };
};

const failureOf = (ssl: number): string => {
  const reason = lastTlsError() ?? 'the handshake broke off';
  const verdict = calls.verdictOf(ssl);
  return verdict === 0 ? reason : `${reason}: ${textAt(calls.describeVerdict(verdict))}`;
};

/** Undefined: the client's turn. */
const advance = (ssl: number, input: Uint8Array): Stepped['ended'] => {
  const { clearErrors, doHandshake, errorOf } = openssl();
  clearErrors();
  giveInput(ssl, input);
  const result = doHandshake(ssl);
  if (result === 1) return { proof: proofOf(ssl) };
  return errorOf(ssl, result) === SslError.WANT_READ ? undefined : { failure: failureOf(ssl) };
};

const step = ({ id, ssl, context, input, ...before }: Extract<ToHandshaker, { kind: 'step' }>): Stepped => {
  keys = keysOf.get(context);
  claimed = before.claimed;
  if (keys !== undefined) calls.setFinder(ssl, finder);
  const ended = advance(ssl, input);
  return { id, output: takeOutput(ssl), claimed, ...(ended !== undefined && { ended }) };
};

port.on('message', (message: ToHandshaker) => {
  if (message.kind === 'keys') keysOf.set(message.context, message.keys);
  else if (message.kind === 'forget') keysOf.delete(message.context);
  else port.postMessage(step(message));
});
