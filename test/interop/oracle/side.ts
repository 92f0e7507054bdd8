/** What both sides of the comparison can do: the operations of a loop driver, in terms that fit both. */

/** Arguments of a configure. The file is a number: each side has its own copy of each file. */
export interface OracleConfig {
  readonly file: OracleFile;
  readonly offset: bigint;
  readonly sizeLimit: bigint;
  /** 0: the default. */
  readonly blockSize: number;
  readonly readOnly: boolean;
  readonly autoclear: boolean;
  readonly partscan: boolean;
  readonly directIo: boolean;
}

/** One of the regular files, or something that is none. */
export type OracleFile = number | 'directory' | 'fifo' | 'null' | 'missing';

export interface OracleSettings {
  readonly offset: bigint;
  readonly sizeLimit: bigint;
  readonly autoclear: boolean;
  readonly partscan: boolean;
}

/** A device as seen from outside. */
export interface OracleView {
  readonly exists: boolean;
  readonly size: number;
  readonly bound: {
    readonly file: OracleFile;
    readonly offset: bigint;
    readonly sizeLimit: bigint;
    readonly blockSize: number;
    readonly readOnly: boolean;
    readonly autoclear: boolean;
    readonly partscan: boolean;
    readonly directIo: boolean;
  } | null;
}

/** The outcome of I/O: an errno, and for a read what came. */
export interface Transfer {
  readonly errno: string;
  /** Bytes that went through. */
  readonly length: number;
  readonly data?: Buffer;
}

/** Devices are numbered from 0. An operation's result is the name of its errno, or 'none'. */
export interface OracleSide {
  readonly dir: string;
  add(device: number): Promise<string>;
  remove(device: number): Promise<string>;
  /** The number that is free now, where it is one of ours. */
  getFree(): Promise<number | 'another'>;
  configure(device: number, config: OracleConfig): Promise<string>;
  changeFd(device: number, file: OracleFile): Promise<string>;
  clear(device: number): Promise<string>;
  setStatus(device: number, settings: OracleSettings): Promise<string>;
  getStatus(device: number): Promise<string>;
  setCapacity(device: number): Promise<string>;
  setDirectIo(device: number, on: boolean): Promise<string>;
  setBlockSize(device: number, bytes: number): Promise<string>;
  /** Opens one more session. */
  open(device: number): Promise<string>;
  /** Closes the session that was opened last. */
  close(device: number): Promise<string>;
  /** I/O through the session that was opened last, of whole blocks. */
  read(device: number, offset: number, length: number): Promise<Transfer>;
  write(device: number, offset: number, data: Buffer): Promise<Transfer>;
  view(device: number): Promise<OracleView>;
  end(): Promise<void>;
}

/** Path of a file below a side's directory. */
export const pathOf = (dir: string, file: OracleFile): string =>
  file === 'null' ? '/dev/null' : `${dir}/${typeof file === 'number' ? `file${file}` : file}`;

/** The file that a path names. */
export function fileOf(path: string): OracleFile {
  const name =
    path
      .replace(/ \(deleted\)$/, '')
      .split('/')
      .at(-1) ?? '';
  const index = /^file(\d+)$/.exec(name)?.[1];
  if (index === undefined) throw new Error(`${path} is none of the test's files`);
  return Number(index);
}
