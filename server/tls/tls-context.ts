/** What connections over TLS are made of: certificates, keys and rules, as OpenSSL holds them. */
import { DEFAULT_CIPHERS } from 'node:tls';
import { lastTlsError } from '../system/openssl.js';
import { addressOf } from '../system/sockets.js';
import { type ContextCalls, contextCalls } from './context-calls.js';
import { PSK_SUITES, type PskKeys } from './psk-file.js';

/** PEM texts, and pre-shared keys. */
export interface TlsMaterial {
  readonly cert?: Buffer | undefined;
  readonly key?: Buffer | undefined;
  /** Clients must show a certificate that one of these signed. */
  readonly ca?: Buffer | undefined;
  readonly crl?: Buffer | undefined;
  readonly psk?: PskKeys | undefined;
}

const CERTIFICATE_SUITES = 'TLS_AES_256_GCM_SHA384:HIGH:!aNULL:!MD5:!RC4';

/**
 * Of TLS 1.3, where the client has it, too: 10 rounds a block in place of 14, on both sides. Bulk data is what these connections
 * are for, and 128 bits are what RFC 8446 (section 9.1) demands of everybody. A client that wants 256 offers nothing else.
 */
const FIRST_SUITE = 'TLS_AES_128_GCM_SHA256';

const TLS_1_2 = 0x0303;
const Control = {
  MODE: 33,
  READ_AHEAD: 41,
  SESSION_CACHE: 44,
  CLEAR_MODE: 78,
  CHAIN_CERTIFICATE: 89,
  MIN_VERSION: 123,
} as const;
const Mode = { PARTIAL_WRITE: 1, MOVING_BUFFER: 2, AUTO_RETRY: 4, RELEASE_BUFFERS: 16 } as const;
const Verify = { PEER: 1, FAIL_WITHOUT: 2 } as const;
const CRL_CHECK_ALL = 4 | 8;

/**
 * No session is resumed, by ticket or otherwise: an NBD connection lasts, so there is little to save, and who resumes one is not
 * asked for a certificate again, also when that has been revoked since. No renegotiation: whoever asks for one makes the
 * server work, and only TLS 1.2 knows it. A client that ends its side without a goodbye may still have its replies: every
 * request says itself where it ends.
 */
const Option = {
  IGNORE_UNEXPECTED_EOF: 2 ** 7,
  NO_TICKET: 2 ** 14,
  NO_COMPRESSION: 2 ** 17,
  SERVER_PREFERENCE: 2 ** 22,
  NO_RENEGOTIATION: 2 ** 30,
} as const;

/** Bytes that a connection takes from its socket at once: two records. It moves what is left of them for each. */
const READ_AHEAD = 2 * (16 << 10) + 1024;

/** Freed when nobody can make connections of it any more; those there are keep what they need. */
const registry = new FinalizationRegistry((context: number) => contextCalls()?.free(context));

export class TlsContext {
  /** Clients need a certificate, or a pre-shared key. */
  readonly requestCert: boolean;
  readonly psk: PskKeys | undefined;
  readonly #calls: ContextCalls;
  readonly #context: number;

  /** Throws an Error with OpenSSL's reason where the material does not fit. */
  constructor(material: TlsMaterial) {
    const calls = contextCalls();
    if (calls === undefined) throw new Error('no OpenSSL can be had: neither of Node nor as libssl.so.3');
    this.#calls = calls;
    this.requestCert = material.ca !== undefined;
    this.psk = material.psk;
    this.#context = some(calls.create(calls.method()));
    registry.register(this, this.#context);
    this.#setRules(material);
    if (material.cert !== undefined && material.key !== undefined)
      this.#identify(material.cert, material.key);
    if (material.ca !== undefined) this.#verifyBy(material.ca, material.crl);
  }

  /** A connection that is to be accepted, which reads from memory and writes to it. The caller frees it, once. */
  connect(): number {
    const { createConnection, createBio, memoryMethod, setBios, acceptLater } = this.#calls;
    const ssl = some(createConnection(this.#context));
    setBios(ssl, some(createBio(memoryMethod())), some(createBio(memoryMethod())));
    acceptLater(ssl);
    return ssl;
  }

  #setRules({ cert, psk }: TlsMaterial): void {
    const { control, setOptions, setTickets, setReadBuffer } = this.#calls;
    const context = this.#context;
    control(context, Control.MIN_VERSION, TLS_1_2, 0);
    setOptions(
      context,
      Object.values(Option).reduce((sum, bit) => sum + bit, 0),
    );
    control(context, Control.SESSION_CACHE, 0, 0);
    setTickets(context, 0);
    // A peer that sends nothing but messages of TLS itself has no more than what was read at once looked at in a turn.
    control(context, Control.CLEAR_MODE, Mode.AUTO_RETRY, 0);
    control(context, Control.MODE, Mode.PARTIAL_WRITE | Mode.MOVING_BUFFER | Mode.RELEASE_BUFFERS, 0);
    control(context, Control.READ_AHEAD, 1, 0);
    setReadBuffer(context, READ_AHEAD);
    if (psk === undefined) this.#setCiphers(DEFAULT_CIPHERS);
    else this.#setCiphers(cert === undefined ? PSK_SUITES : `${PSK_SUITES}:${CERTIFICATE_SUITES}`);
  }

  /** Suites of TLS 1.3, whose names begin so, and those of 1.2. */
  #setCiphers(names: string): void {
    const all = names.split(':');
    const suites = all.filter((name) => name.startsWith('TLS_'));
    suites.sort((a, b) => Number(b === FIRST_SUITE) - Number(a === FIRST_SUITE));
    check(this.#calls.setSuites(this.#context, suites.join(':')));
    check(this.#calls.setCiphers(this.#context, all.filter((name) => !name.startsWith('TLS_')).join(':')));
  }

  #identify(cert: Buffer, key: Buffer): void {
    const { readCertificate, freeCertificate, useCertificate, control, readKey, freeKey } = this.#calls;
    const { useKey, checkKey } = this.#calls;
    const context = this.#context;
    let isFirst = true;
    this.#each(cert, readCertificate, freeCertificate, (certificate) => {
      check(isFirst ? useCertificate(context, certificate) : 1);
      // The list takes a reference of its own (SSL_CTX_add1_chain_cert).
      if (!isFirst) check(control(context, Control.CHAIN_CERTIFICATE, 1, certificate));
      isFirst = false;
    });
    this.#each(key, readKey, freeKey, (privateKey) => check(useKey(context, privateKey)));
    check(checkKey(context));
  }

  #verifyBy(ca: Buffer, crl: Buffer | undefined): void {
    const { storeOf, addAuthority, announceAuthority, addRevoked, setStoreFlags, setVerify } = this.#calls;
    const { readCertificate, freeCertificate, readRevoked, freeRevoked } = this.#calls;
    const store = storeOf(this.#context);
    this.#each(ca, readCertificate, freeCertificate, (certificate) => {
      check(addAuthority(store, certificate));
      check(announceAuthority(this.#context, certificate));
    });
    if (crl !== undefined) {
      this.#each(crl, readRevoked, freeRevoked, (list) => check(addRevoked(store, list)));
      check(setStoreFlags(store, CRL_CHECK_ALL));
    }
    // Who proves a pre-shared key is not asked for a certificate. To OpenSSL that is a session, which must have a name then.
    check(this.#calls.nameSessions(this.#context, addressOf(SESSIONS), SESSIONS.length));
    setVerify(this.#context, Verify.PEER | Verify.FAIL_WITHOUT, 0);
  }

  /** Every object of a PEM text, at least one; what is made of it is freed after `use`. */
  #each(
    pem: Buffer,
    readOne: ContextCalls['readKey'],
    free: (object: number) => void,
    use: (object: number) => void,
  ): void {
    const bio = some(this.#calls.textBio(addressOf(pem), pem.length));
    try {
      let count = 0;
      // An empty password: nobody is asked for one on the terminal.
      for (;;) {
        const object = readOne(bio, 0, 0, addressOf(NO_PASSWORD));
        if (object === 0) break;
        count++;
        try {
          use(object);
        } finally {
          free(object);
        }
      }
      const reason = lastTlsError();
      if (count === 0) throw new Error(reason ?? 'nothing is in it');
    } finally {
      this.#calls.freeBio(bio);
    }
  }
}

const NO_PASSWORD = new Uint8Array(1);
const SESSIONS = Buffer.from('nbdloop');

const check = (result: number): void => {
  if (result !== 1) throw new Error(lastTlsError() ?? 'OpenSSL refuses it');
};

const some = (address: number): number => {
  if (address === 0) throw new Error(lastTlsError() ?? 'OpenSSL has no memory');
  return address;
};
