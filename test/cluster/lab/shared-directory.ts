/**
 * A directory of this machine, seen in every node: a disk that never fails, and whose locks die at once with who has them.
 * What is left of a fail-over then is Corosync's, Pacemaker's and ours.
 */
import { mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { FILE_SIZE, type SharedStorage } from './shared-storage.js';

export class SharedDirectory implements SharedStorage {
  constructor(readonly path: string) {
    mkdirSync(path, { recursive: true });
  }

  async create(files: readonly string[]): Promise<void> {
    for (const file of files.map((name) => join(this.path, basename(name)))) {
      writeFileSync(file, '');
      truncateSync(file, FILE_SIZE);
    }
  }

  async startServer(): Promise<void> {}
  async answers(): Promise<void> {}
  async isWhole(): Promise<void> {}
  async reached(): Promise<void> {}
  async healed(): Promise<void> {}
}
