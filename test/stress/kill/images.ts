/**
 * Files that stay known, whatever becomes of their names: each is held open, with what may be in every sector of it. That
 * is what was there at first, or what a user wrote who was told to write to this very file.
 */
import {
  closeSync,
  copyFileSync,
  fstatSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';

export const SECTOR = 512;
export const SECTORS = 64;
const BYTES = SECTOR * SECTORS;

/** Who writes where: fills a sector. */
export const stamp = (token: number, sector: number, sequence: number): Buffer =>
  Buffer.alloc(SECTOR, `token ${token} sector ${sector} sequence ${sequence};`);
const STAMP = /^token (\d+) sector (\d+) sequence (\d+);/;

export interface Image {
  readonly id: number;
  readonly fd: number;
  readonly inode: number;
  /** Its content when it was made. */
  readonly base: Buffer;
  /** Those who may have written to it. */
  readonly writers: Set<number>;
}

export class Images {
  readonly all: Image[] = [];

  constructor(private readonly directory: string) {}

  path(name: string): string {
    return join(this.directory, name);
  }

  /** A new file of this name, which must not be in use. */
  make(name: string): Image {
    const id = this.all.length;
    writeFileSync(this.path(name), Buffer.alloc(BYTES, `image ${id};`), { flag: 'wx' });
    return this.#hold(name);
  }

  copy(from: string, to: string): Image {
    copyFileSync(this.path(from), this.path(to));
    return this.#hold(to);
  }

  /** What had the new name is nowhere any more. */
  move(from: string, to: string): void {
    renameSync(this.path(from), this.path(to));
  }

  remove(name: string): void {
    unlinkSync(this.path(name));
  }

  /** The file that has this name now. */
  named(path: string): Image | undefined {
    const inode = statSync(path, { throwIfNoEntry: false })?.ino;
    return this.all.find((image) => image.inode === inode);
  }

  /** What is in a file and should not be. */
  faults(): string[] {
    return this.all.flatMap((image) => {
      const content = Buffer.alloc(BYTES);
      if (fstatSync(image.fd).size !== BYTES) return [`image ${image.id} has another size`];
      readSync(image.fd, content, 0, BYTES, 0);
      return Array.from({ length: SECTORS }, (_, sector) => sectorFault(image, content, sector)).filter(
        (fault) => fault !== undefined,
      );
    });
  }

  /** Who wrote last to a sector of a file, and which of its writes that was; undefined when nobody did. */
  lastWrite(image: Image, sector: number): { readonly token: number; readonly sequence: number } | undefined {
    const content = Buffer.alloc(SECTOR);
    readSync(image.fd, content, 0, SECTOR, sector * SECTOR);
    const [, token, , sequence] = STAMP.exec(content.toString('latin1')) ?? [];
    return token === undefined ? undefined : { token: Number(token), sequence: Number(sequence) };
  }

  close(): void {
    for (const { fd } of this.all) closeSync(fd);
  }

  #hold(name: string): Image {
    const path = this.path(name);
    const fd = openSync(path, 'r');
    const image: Image = {
      id: this.all.length,
      fd,
      inode: fstatSync(fd).ino,
      base: readFileSync(path),
      writers: new Set(),
    };
    this.all.push(image);
    return image;
  }
}

function sectorFault({ id, base, writers }: Image, content: Buffer, sector: number): string | undefined {
  const found = content.subarray(sector * SECTOR, (sector + 1) * SECTOR);
  if (found.equals(base.subarray(sector * SECTOR, (sector + 1) * SECTOR))) return undefined;
  const [, token, place, sequence] = (STAMP.exec(found.toString('latin1')) ?? []).map(Number);
  const isWhole = token !== undefined && found.equals(stamp(token, sector, sequence ?? 0));
  if (isWhole && place === sector && writers.has(token)) return undefined;
  return `image ${id}, sector ${sector}: ${JSON.stringify(found.toString('latin1', 0, 48))} is not its own`;
}
