/** Every generated file by its path in dist/packaging. */

import { packageVersion } from '../../driver/version.js';
import { bashCompletion } from './bash.js';
import { fishCompletion } from './fish.js';
import { manPage } from './man.js';
import { helperDocs, programDocs } from './model.js';
import { SECTIONS } from './sections.js';
import { zshCompletion } from './zsh.js';

export function generatedFiles(): ReadonlyMap<string, string> {
  const programs = programDocs();
  const files = new Map<string, string>();
  const documented = [...programs, ...helperDocs()];
  for (const { name, ...program } of documented) {
    const others = documented.map((other) => other.name).filter((other) => other !== name);
    files.set(`man/${name}.8`, manPage({ name, ...program }, SECTIONS[name] ?? [], others, packageVersion()));
  }
  for (const program of programs) {
    const { name } = program;
    files.set(`completions/bash/${name}`, bashCompletion(program));
    files.set(`completions/zsh/_${name}`, zshCompletion(program));
    files.set(`completions/fish/${name}.fish`, fishCompletion(program));
  }
  return files;
}
