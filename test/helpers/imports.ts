/** Which module of the project imports which: read from the sources, with the difference between types and values. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';

export interface ImportEdge {
  /** Path of the importing source from the project's root, e.g. 'driver/daemon.ts'. */
  readonly from: string;
  /** Path of an imported source of the project; packages and Node's own modules are left out. */
  readonly to: string;
  /** True for `import type` and `export type`: the statement leaves nothing in the compiled module. */
  readonly typeOnly: boolean;
}

/** `import ... from 'x'`, `export ... from 'x'`, `import 'x'`. */
const STATIC = /^[ \t]*(import|export)\s+(type\s(?!\s*from\b))?(?:[^'";]*?\sfrom\s+)?['"]([^'"]+)['"]/gm;
/** `import('x')` and `new URL('x', import.meta.url)`: both load the module. */
const DYNAMIC = /\b(?:import\(|new\s+URL\()\s*['"]([^'"]+)['"]/g;

/** All imports between sources of the project below the named directories. */
export function importEdges(root: string, directories: readonly string[]): ImportEdge[] {
  return directories.flatMap((directory) =>
    readdirSync(join(root, directory), { recursive: true, encoding: 'utf8' })
      .filter((name) => /\.tsx?$/.test(name) && !name.endsWith('.d.ts'))
      .flatMap((name) => {
        const from = join(directory, name);
        return edgesOf(from, readFileSync(join(root, from), 'utf8'));
      }),
  );
}

/** The imports that one source's text states. */
export function edgesOf(from: string, text: string): ImportEdge[] {
  const code = withoutComments(text);
  const edges: ImportEdge[] = [];
  const add = (specifier: string, typeOnly: boolean): void => {
    if (!specifier.startsWith('.')) return;
    const named = normalize(join(dirname(from), specifier));
    const component = named.replace(/\.js$/, '.tsx');
    const to = existsSync(component) ? component : named.replace(/\.js$/, '.ts');
    edges.push({ from, to, typeOnly });
  };
  for (const match of code.matchAll(STATIC)) add(match[3] ?? '', match[2] !== undefined);
  for (const match of code.matchAll(DYNAMIC)) add(match[1] ?? '', false);
  return edges;
}

/** Good enough for sources a formatter has written: no comment mark inside a string at a line's start. */
const withoutComments = (text: string): string =>
  text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|\s)\/\/.*$/gm, '$1');
