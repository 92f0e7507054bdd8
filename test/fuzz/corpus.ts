/** The inputs that fuzzing starts from: written down ones, and those that earlier runs found worth keeping. */
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Finding } from './engine.js';
import { seedInputs } from './grammar.js';

/** From the project's root, where the scripts of package.json run. */
const KEPT = join('test', 'fuzz', 'corpus');
const nameOf = (input: Buffer): string => createHash('sha256').update(input).digest('hex').slice(0, 16);

export function readCorpus(): Buffer[] {
  let names: string[] = [];
  try {
    names = readdirSync(KEPT).sort();
  } catch {
    // Nothing was kept yet.
  }
  return [...seedInputs(), ...names.map((name) => readFileSync(join(KEPT, name)))];
}

/** Writes inputs, in place of those that were kept before. */
export function writeCorpus(inputs: readonly Buffer[]): void {
  rmSync(KEPT, { recursive: true, force: true });
  mkdirSync(KEPT, { recursive: true });
  for (const input of inputs) writeFileSync(join(KEPT, nameOf(input)), input);
}

/** Writes the input of a finding where it can be run again from; returns the path. */
export function writeFinding(directory: string, { kind, input, message }: Finding): string {
  mkdirSync(directory, { recursive: true });
  const path = join(directory, `${kind}-${nameOf(input)}`);
  writeFileSync(path, input);
  writeFileSync(`${path}.txt`, `${message}\n`);
  return path;
}
