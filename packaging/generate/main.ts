/** Writes man pages and completions beside the compiled sources, from the programs' option tables: part of the build. */

import { mkdirSync, writeFileSync } from 'node:fs';
import { generatedFiles } from './files.js';

for (const [path, text] of generatedFiles()) {
  const file = new URL(`../${path}`, import.meta.url);
  mkdirSync(new URL('.', file), { recursive: true });
  writeFileSync(file, text);
}
