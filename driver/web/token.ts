/** The token of the page: it outlives the daemon, so that a page that is open goes on with the next one. */

import { randomBytes } from 'node:crypto';
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { LoopError } from '../errno.js';

const TOKEN_FILE = 'web-token';
/** 256 bits. */
const TOKEN_BYTES = 32;

export class PageToken {
  readonly #file: string;
  #value: string;

  private constructor(file: string, value: string) {
    this.#file = file;
    this.#value = value;
  }

  /** The one of the daemon before, or a new one. `directory`: of the daemon's state, which is its owner's alone. */
  static async open(directory: string): Promise<PageToken> {
    const file = join(directory, TOKEN_FILE);
    const kept = (await readFile(file, 'latin1').catch(() => '')).trim();
    const token = new PageToken(file, kept);
    if (!/^[\w-]{43}$/.test(kept)) await token.renew();
    return token;
  }

  get value(): string {
    return this.#value;
  }

  /** ENOSPC, EIO and whatever else a file can't be written for: then the present one stays. */
  async renew(): Promise<void> {
    const value = randomBytes(TOKEN_BYTES).toString('base64url');
    const made = `${this.#file}.new`;
    try {
      await rm(made, { force: true });
      await writeFile(made, `${value}\n`, { mode: 0o600, flag: 'wx' });
      await rename(made, this.#file);
    } catch (error) {
      const errno = ((error as NodeJS.ErrnoException).code ?? 'EIO') as LoopError['errno'];
      throw new LoopError(errno, `the token of the page can't be written to ${this.#file} (${errno})`);
    }
    this.#value = value;
  }
}
