/** What each sector of a disk may hold after a cut of its power. */
import { readFileSync } from 'node:fs';

export const SECTOR = 512;

export class SectorHistory {
  /** Versions that were sent, since the last that is durable; that one is the first. 0: zeroes. */
  readonly #sent: number[][];
  /** The last version that was answered. */
  readonly #answered: number[];
  #version = 0;

  constructor(readonly sectors: number) {
    this.#sent = Array.from({ length: sectors }, () => [0]);
    this.#answered = Array.from({ length: sectors }, () => 0);
  }

  /** A write is about to be sent, the only one of these sectors that is under way. `answered` is to be called when it was. */
  writing(
    from: number,
    to: number,
    zeroes: boolean,
  ): { readonly content: Buffer; readonly answered: (isDurable: boolean) => void } {
    const version = ++this.#version;
    const told = zeroes ? -version : version;
    const content = Buffer.alloc((to - from) * SECTOR);
    for (let sector = from; sector < to; sector++) {
      this.#sent[sector]?.push(told);
      if (!zeroes) contentOf(version).copy(content, (sector - from) * SECTOR);
    }
    const answered = (isDurable: boolean): void => {
      for (let sector = from; sector < to; sector++) {
        this.#answered[sector] = told;
        if (isDurable) this.#isDurable(sector, told);
      }
    };
    return { content, answered };
  }

  /** A flush is about to be sent: what was answered by now is durable when that is. The result is to be called then. */
  flushing(): () => void {
    const covered = [...this.#answered];
    return () => {
      for (const [sector, version] of covered.entries()) this.#isDurable(sector, version);
    };
  }

  /** What the disk holds that it may not; it is taken as it is from here on. */
  check(file: string): string[] {
    const disk = readFileSync(file);
    const wrong: string[] = [];
    for (const [sector, versions] of this.#sent.entries()) {
      const found = disk.subarray(sector * SECTOR, (sector + 1) * SECTOR);
      const version = versions.find((one) => found.equals(contentOf(one)));
      if (version === undefined)
        wrong.push(`sector ${sector} holds ${nameOf(found)}, and may hold ${versions}`);
      this.#sent[sector] = [version ?? 0];
      this.#answered[sector] = version ?? 0;
    }
    return wrong;
  }

  /** Older versions never come back. */
  #isDurable(sector: number, version: number): void {
    const versions = this.#sent[sector] ?? [];
    const at = versions.indexOf(version);
    if (at > 0) versions.splice(0, at);
  }
}

/** Of a sector. */
const contentOf = (version: number): Buffer => {
  const content = Buffer.alloc(SECTOR);
  for (let at = 0; version > 0 && at < SECTOR; at += 4) content.writeUInt32LE(version, at);
  return content;
};

const nameOf = (content: Buffer): string =>
  content.equals(contentOf(content.readUInt32LE(0))) ? `version ${content.readUInt32LE(0)}` : 'a mixture';
