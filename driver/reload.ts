/** Settings that are read anew while the daemon runs: when asked, and when one of their files has changed. */

import { type FSWatcher, realpathSync, statSync, watch } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import type { AccessSettings } from '../server/access.js';

export interface ReloadLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface ReloadParts {
  /** What is asked for now; throws where that cannot be read. */
  readonly reread: () => AccessSettings;
  /** Puts them in force, or throws why that cannot be, with those before still in force. */
  readonly apply: (settings: AccessSettings) => void;
  /** More files than those that the settings name. */
  readonly files: readonly string[];
  readonly log: ReloadLog;
}

/** What became of the last reading. */
export interface ReloadState {
  /** When the settings that are in force were read, ISO 8601. */
  readonly loadedAt: string;
  /** Why newer ones could not be used, in one sentence; null: there are none. */
  readonly error: string | null;
}

/** A file is often replaced in several steps, and a certificate and its key one after the other: milliseconds to wait. */
const SETTLE_MS = 300;

/** Where others write into a directory of ours (an image, a log), it is looked at so often, milliseconds. */
const BUSY_MS = 1000;

export class Reload {
  #settings: AccessSettings;
  #state: ReloadState = { loadedAt: new Date().toISOString(), error: null };
  #watchers: FSWatcher[] = [];
  #timer: NodeJS.Timeout | undefined;
  #rest: NodeJS.Timeout | undefined;
  /** What the files were like before they were read last. */
  #stamp: string;
  /** One at a time: the last one asked for is the one in force. */
  #last: Promise<void> = Promise.resolve();
  #isClosed = false;

  /** `settings` are in force already. */
  constructor(
    private readonly parts: ReloadParts,
    settings: AccessSettings,
  ) {
    this.#settings = settings;
    this.#stamp = stampOf(this.#files());
    this.#watch();
  }

  get state(): ReloadState {
    return this.#state;
  }

  /** Reads everything anew. Where that cannot be used, what was in force stays, and the reason is thrown. */
  now(): Promise<void> {
    const reload = this.#last.then(() => this.#reload());
    this.#last = reload.catch(() => undefined);
    return reload;
  }

  async #reload(): Promise<void> {
    const { parts } = this;
    this.#stamp = stampOf(this.#files());
    try {
      const settings = parts.reread();
      parts.apply(settings);
      this.#settings = settings;
      this.#state = { loadedAt: new Date().toISOString(), error: null };
      parts.log.info({}, 'settings were read anew');
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      this.#state = { ...this.#state, error: message };
      parts.log.error({ err: error }, 'settings could not be read anew: those before stay in force');
      throw error;
    } finally {
      this.#watch();
    }
  }

  /** Idempotent. */
  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#unwatch();
  }

  #unwatch(): void {
    clearTimeout(this.#rest);
    this.#rest = undefined;
    for (const watcher of this.#watchers) watcher.close();
    this.#watchers = [];
  }

  /** Directories, since files are replaced by renames; also those that symbolic links lead to. */
  #watch(): void {
    this.#unwatch();
    if (this.#isClosed) return;
    const names = new Map<string, Set<string>>();
    for (const file of this.#files()) {
      for (const path of new Set([resolve(file), realPath(file)])) {
        const known = names.get(dirname(path)) ?? new Set();
        names.set(dirname(path), known.add(basename(path)));
      }
    }
    for (const [directory, known] of names) this.#watchDirectory(directory, known);
  }

  #files(): string[] {
    const { cert, key, ca, crl, psk } = this.#settings.tls ?? {};
    return [cert, key, ca, crl, psk, ...this.parts.files].filter((file) => file !== undefined);
  }

  #watchDirectory(directory: string, names: ReadonlySet<string>): void {
    try {
      const watcher = watch(directory, { persistent: false }, (_event, name) => {
        // `..data` is the link that Kubernetes swaps: all files change with it.
        if (name === null || name === '..data' || names.has(name)) this.#changed();
        else this.#lookLater();
      });
      watcher.on('error', () => watcher.close());
      this.#watchers.push(watcher);
    } catch (error) {
      this.parts.log.warn({ err: error, directory }, 'changes there are not noticed: send SIGHUP after them');
    }
  }

  /** An event for each write to somebody else's file is too much for this thread: no more of them for a while. */
  #lookLater(): void {
    this.#unwatch();
    this.#rest = setTimeout(() => {
      this.#watch();
      if (stampOf(this.#files()) !== this.#stamp) this.#changed();
    }, BUSY_MS);
    this.#rest.unref();
  }

  #changed(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.now().catch(() => undefined), SETTLE_MS);
    this.#timer.unref();
  }
}

/** Differs when one of the files is another one, or was written to. */
const stampOf = (files: readonly string[]): string => files.map(stampOfFile).join('\n');

function stampOfFile(file: string): string {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = statSync(file, { bigint: true });
    return `${dev} ${ino} ${size} ${mtimeNs} ${ctimeNs}`;
  } catch {
    return '';
  }
}

function realPath(file: string): string {
  try {
    return realpathSync(file);
  } catch {
    return resolve(file);
  }
}
