/** The inputs that fuzzing starts from: written down ones, and those that earlier runs found worth keeping. */
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Finding } from './engine.js';
import { seedInputs } from './grammar.js';

/** From the project's root, where the scripts of package.json run. */
const KEPT = join('test', 'fuzz', 'corpus');
/** A kept input is no longer than this, so that the folder stays small. Bytes. */
const MOST_KEPT = 2048;

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

/** Writes the short ones among new inputs; returns how many. */
export function keepInputs(inputs: readonly Buffer[]): number {
  const short = inputs.filter((input) => input.length <= MOST_KEPT);
  mkdirSync(KEPT, { recursive: true });
  for (const input of short) writeFileSync(join(KEPT, nameOf(input)), input);
  return short.length;
}

/** Writes the input of a finding where it can be run again from; returns the path. */
export function writeFinding(directory: string, { kind, input, message }: Finding): string {
  mkdirSync(directory, { recursive: true });
  const path = join(directory, `${kind}-${nameOf(input)}`);
  writeFileSync(path, input);
  writeFileSync(`${path}.txt`, `${message}\n`);
  return path;
}
