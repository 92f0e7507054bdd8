/** Which kernel modules a guest loads, and in which order. */
import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';

/** 'virtio_net' of 'kernel/drivers/net/virtio_net.ko.xz': files use - and _ interchangeably. */
export const moduleName = (path: string): string =>
  basename(path)
    .replace(/\.ko(\..*)?$/, '')
    .replaceAll('-', '_');

/**
 * Paths below `directory` (a /lib/modules/RELEASE) of the named modules and everything they depend on, each
 * after what it needs. A name that has no file is built in, or else unknown: then this throws.
 */
export function resolveModules(directory: string, names: readonly string[]): string[] {
  const dependencies = parseModulesDep(readFileSync(join(directory, 'modules.dep'), 'utf8'));
  const builtin = new Set(
    readFileSync(join(directory, 'modules.builtin'), 'utf8').trim().split('\n').map(moduleName),
  );
  const byName = new Map([...dependencies.keys()].map((path) => [moduleName(path), path]));
  const ordered = new Set<string>();
  const add = (path: string): void => {
    if (ordered.has(path)) return;
    for (const needed of dependencies.get(path) ?? []) add(needed);
    ordered.add(path);
  };
  for (const name of names) {
    const path = byName.get(name.replaceAll('-', '_'));
    if (path !== undefined) add(path);
    else if (!builtin.has(name.replaceAll('-', '_')))
      throw new Error(`no kernel module ${name} in ${directory}`);
  }
  return [...ordered];
}

/** modules.dep: a line a module, `path: path of a dependency ...`. */
export function parseModulesDep(text: string): Map<string, string[]> {
  const result = new Map<string, string[]>();
  for (const line of text.split('\n')) {
    const [path, needs] = line.split(':');
    if (path === undefined || needs === undefined) continue;
    result.set(path, needs.trim().split(/\s+/).filter(Boolean));
  }
  return result;
}
