/** Temporary directories that go away with the test. */
import { randomFillSync } from 'node:crypto';
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export class TempDir implements Disposable {
  readonly path: string;

  /** Short, so that a Unix socket inside stays below the 107 bytes a socket address can hold. */
  constructor(parent: string = tmpdir()) {
    this.path = mkdtempSync(join(parent, 'nbdloop-'));
  }

  /** Path of an entry of the directory. */
  file(...parts: string[]): string {
    return join(this.path, ...parts);
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

/** Makes a file of `bytes` bytes that occupies no blocks. */
export function makeSparseFile(path: string, bytes: number): string {
  const fd = openSync(path, 'w');
  try {
    ftruncateSync(fd, bytes);
  } finally {
    closeSync(fd);
  }
  return path;
}

/** Makes a file of `bytes` random bytes. */
export function makeRandomFile(path: string, bytes: number): string {
  const fd = openSync(path, 'w');
  const block = Buffer.allocUnsafe(Math.min(bytes, 8 << 20));
  try {
    for (let written = 0; written < bytes; ) {
      const piece = block.subarray(0, Math.min(block.length, bytes - written));
      randomFillSync(piece);
      written += writeSync(fd, piece);
    }
  } finally {
    closeSync(fd);
  }
  return path;
}
