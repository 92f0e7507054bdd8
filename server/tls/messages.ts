/** What the main thread and the thread of TLS handshakes tell each other. */

export type ToHandshaker =
  /** Pre-shared keys of some settings, by whoever they belong to. */
  | { readonly kind: 'keys'; readonly context: number; readonly keys: ReadonlyMap<string, Uint8Array> }
  /** Nobody will ask for those any more. */
  | { readonly kind: 'forget'; readonly context: number }
  /** The connection is the thread's until it answers. */
  | {
      readonly kind: 'step';
      readonly id: number;
      readonly ssl: number;
      readonly context: number;
      readonly input: Uint8Array;
      /** What the step before told. */
      readonly claimed: string | undefined;
    };

/** What a client has proved. */
export interface Proof {
  /** e.g. `TLSv1.3`. */
  readonly protocol: string;
  /** The user of its pre-shared key. */
  readonly psk?: string;
  /** Its certificate, which was verified, as DER. */
  readonly certificate?: Uint8Array;
}

export interface Stepped {
  readonly id: number;
  /** To be sent to the client, also where it failed. */
  readonly output: Uint8Array;
  /** Whose key was asked for. Said only: the handshake may yet go by certificate. */
  readonly claimed: string | undefined;
  /** Absent: more is to come from the client. */
  readonly ended?: { readonly proof: Proof } | { readonly failure: string };
}
