/** What negotiation needs to know of an export, and how a client takes it. Types only: the driver implements them. */

/** Block size constraints in bytes, as NBD_INFO_BLOCK_SIZE reports them (powers of two, except `maximum`). */
export interface BlockSizes {
  readonly minimum: number;
  readonly preferred: number;
  readonly maximum: number;
}

/** A snapshot of an export at the moment of asking. */
export interface ExportInfo {
  /** Canonical name, at most 4096 bytes of UTF-8. */
  readonly name: string;
  readonly description: string;
  /** Bytes; 0 while nothing is bound. */
  readonly size: number;
  readonly readOnly: boolean;
  readonly blockSizes: BlockSizes;
  /** True when WRITE_ZEROES with FAST_ZERO can be honoured (or refused at once) on this file system. */
  readonly fastZero: boolean;
}

/** An export that one connection has open: exactly one `release` per open. */
export interface OpenedExport {
  readonly info: ExportInfo;
  /** Identifies the device on every thread. */
  readonly device: number;
  /** The device's state and counters; see the driver's `queue/slots.ts` for the layout. Opaque to the server. */
  readonly shared: SharedArrayBuffer;
  /**
   * Names what requests may wait for at this moment: a file system, a disk; '' is nothing. Exports of different domains
   * never share a thread. It may change with every thaw.
   */
  domain(): string;
  /** Its names at this moment, as `Export.names`. */
  names(): readonly string[];
  /** loRelease. Idempotent, never rejects. */
  release(): Promise<void>;
}

export interface Export {
  /** All names that it is found under, the canonical one first. */
  readonly names: readonly [string, ...string[]];
  info(): ExportInfo;
  /** loOpen. Rejects with an error whose `errno` is 'ENXIO' when the device is being removed. */
  open(): Promise<OpenedExport>;
}

/** The name table. Names are unique; the empty one is the default export. */
export interface ExportTable {
  list(): readonly Export[];
  find(name: string): Export | undefined;
}
