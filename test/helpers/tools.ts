/** Programs that tests need but the project does not depend on: found, or the reason to skip. */
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Where administrators' programs live; a user's PATH often leaves them out. */
const SYSTEM_PATHS = ['/usr/local/sbin', '/usr/sbin', '/sbin', '/usr/local/bin', '/usr/bin', '/bin'];

/** True where a missing tool is a failure instead of a reason to skip. */
export const requireAll = process.env.NBDLOOP_REQUIRE_ALL === '1';

/** Path of a program by its name or path, or undefined. */
export function findTool(name: string): string | undefined {
  if (name.includes('/')) return isExecutable(name) ? name : undefined;
  const directories = [...(process.env.PATH ?? '').split(delimiter), ...SYSTEM_PATHS];
  return directories
    .filter((directory) => directory !== '')
    .map((directory) => join(directory, name))
    .find(isExecutable);
}

/** Path of a program that `skipUnless` found before. */
export function tool(name: string): string {
  const path = findTool(name);
  if (path === undefined) throw new Error(`${name} is not installed`);
  return path;
}

/** False when all the programs are there, else the reason to skip; throws it under NBDLOOP_REQUIRE_ALL=1. */
export function skipUnless(...names: string[]): string | false {
  const missing = names.filter((name) => findTool(name) === undefined);
  return missing.length === 0 ? false : skipBecause(`not installed: ${missing.join(', ')}`);
}

/** The reason to skip, as the `skip` option of a test takes it; an error under NBDLOOP_REQUIRE_ALL=1. */
export function skipBecause(reason: string): string {
  if (requireAll) throw new Error(`NBDLOOP_REQUIRE_ALL=1 and ${reason}`);
  return reason;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
