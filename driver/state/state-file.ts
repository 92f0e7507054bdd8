/**
 * One text that is replaced as a whole, and room for that beforehand: a full file system refuses a longer text, and never
 * one that is no longer than the present one. So what is let go of can always be forgotten.
 *
 * There are two files of the same size, filled up with blanks: the text, and a spare that the next text is written
 * over before the two change names (RENAME_EXCHANGE). A process that ends at any point leaves one whole text.
 */

import { constants } from 'node:fs';
import { type FileHandle, open, readFile, rename } from 'node:fs/promises';
import { promisify } from 'node:util';
import koffi from 'koffi';

const renameat2 = promisify(
  koffi
    .load('libc.so.6')
    .func('int renameat2(int from, const char *old, int to, const char *new, unsigned int flags)').async,
) as (from: number, old: string, to: number, name: string, flags: number) => Promise<number>;
const AT_FDCWD = -100;
const RENAME_EXCHANGE = 2;

/** Texts are filled up to whole blocks of this many bytes, so that most changes need no more room. */
const BLOCK = 4096;
/** A spare that is larger than so many times the text is cut. */
const MUCH = 16;
/** The text is read and written by its owner alone. */
const MODE = 0o600;

export class StateFile {
  constructor(readonly path: string) {}

  /** The text that was written last; empty where there is none. */
  async read(): Promise<string> {
    return readFile(this.path, 'utf8').catch(() => '');
  }

  /** Replaces the text. Rejects with the errno of the file system, and then the present text stays. */
  async replace(text: string): Promise<void> {
    const bytes = Buffer.from(text);
    const spare = `${this.path}.spare`;
    const [present, written] = [await openSized(this.path), await openSized(spare)];
    try {
      const room = Math.ceil((bytes.length + 1) / BLOCK) * BLOCK;
      if (written.size > MUCH * room) await written.handle.truncate(room);
      // The spare first: where there is no room for both, the text has not grown.
      await fill(written, room);
      await fill(present, room);
      const { size } = await written.handle.stat();
      await writeAll(written.handle, Buffer.concat([bytes, blank(size - bytes.length)]), 0);
      await written.handle.sync(); // what a file system refuses late (NFS) is told here
    } finally {
      await Promise.all([present.handle.close(), written.handle.close()]);
    }
    await exchange(spare, this.path);
  }
}

interface Sized {
  readonly handle: FileHandle;
  readonly size: number;
}

async function openSized(path: string): Promise<Sized> {
  const handle = await open(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, MODE);
  try {
    return { handle, size: (await handle.stat()).size };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** Blanks behind its end, up to `room` bytes: to a text they are nothing. */
async function fill({ handle, size }: Sized, room: number): Promise<void> {
  if (size >= room) return;
  try {
    await writeAll(handle, blank(room - size), size);
  } catch (error) {
    await handle.truncate(size).catch(() => undefined);
    throw error;
  }
}

const blank = (bytes: number): Buffer => Buffer.alloc(bytes, '\n');

async function writeAll(handle: FileHandle, data: Buffer, position: number): Promise<void> {
  for (let at = 0; at < data.length; ) {
    const { bytesWritten } = await handle.write(data, at, data.length - at, position + at);
    at += bytesWritten;
  }
}

/** A file system that knows no exchange drops the present text instead, and the next spare has to be made anew. */
async function exchange(spare: string, path: string): Promise<void> {
  const isExchanged = (await renameat2(AT_FDCWD, spare, AT_FDCWD, path, RENAME_EXCHANGE)) === 0;
  if (!isExchanged) await rename(spare, path);
}
