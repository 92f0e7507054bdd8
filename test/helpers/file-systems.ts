/** Directories on different file systems, and memory with an address, for tests of the calls on files. */
import { accessSync, closeSync, constants, openSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { addressOf } from '../../driver/io/file-calls.js';

/** Where a memory file system is usually mounted. */
const MEMORY = '/dev/shm';

/** By name: the disk (or whatever temporary files are on), and memory. */
export function fileSystems(): readonly (readonly [name: string, directory: string])[] {
  try {
    accessSync(MEMORY, constants.W_OK);
    return [
      ['temporary files', tmpdir()],
      ['memory', MEMORY],
    ];
  } catch {
    return [['temporary files', tmpdir()]];
  }
}

/** A descriptor for direct I/O, or undefined where the file system has none. */
export function openDirect(path: string): number | undefined {
  try {
    return openSync(path, constants.O_RDWR | constants.O_DIRECT);
  } catch {
    return undefined;
  }
}

/** A buffer and its address. */
export function memory(bytes: number): { readonly bytes: Buffer; readonly address: number } {
  const buffer = Buffer.from(new ArrayBuffer(bytes));
  return { bytes: buffer, address: addressOf(buffer) };
}

/** An open file that is closed at the end of its scope. */
export class OpenFile implements Disposable {
  constructor(readonly fd: number) {}
  static open(path: string, flags = 'r+'): OpenFile {
    return new OpenFile(openSync(path, flags));
  }
  [Symbol.dispose](): void {
    closeSync(this.fd);
  }
}
