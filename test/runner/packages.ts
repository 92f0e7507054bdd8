/** Brings the programs that the chosen suites need, where that is possible. */
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { run } from '../helpers/process.js';
import { findTool } from '../helpers/tools.js';
import { LIBRARIES, type Suite } from './suites.js';

const say = (text: string): void => console.log(`# ${text}`);

/** RUNLEVEL=1: a server that comes with a package must not start listening because a test wanted its client. */
const APT_ENVIRONMENT = { DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' };

/** Debian packages that the suites want and this machine lacks. */
export function missingPackages(suites: readonly Suite[]): string[] {
  const libraries = suites.flatMap((suite) => Object.entries(LIBRARIES[suite.name] ?? {}));
  return [
    ...new Set([
      ...suites.flatMap(({ tools }) => packagesOf(tools)),
      ...libraries.filter(([, file]) => !existsSync(file)).map(([name]) => name),
    ]),
  ].sort();
}

/** Debian packages of the programs that this machine lacks, of a map from program to package. */
export const packagesOf = (tools: Readonly<Record<string, string>>): string[] =>
  Object.entries(tools)
    .filter(([program]) => findTool(program) === undefined)
    .map(([, name]) => name);

/** Installs them as root; otherwise says what will be skipped and which command would help. */
export async function installPackages(names: readonly string[]): Promise<void> {
  if (names.length === 0) return;
  const apt = findTool('apt-get');
  if (apt === undefined || process.getuid?.() !== 0) {
    say(`not installed, so tests that need them are skipped: ${names.join(' ')}`);
    say(`as root: apt-get install --no-install-recommends ${names.join(' ')}`);
    return;
  }
  say(`installing ${names.join(' ')}`);
  await refreshPackageLists();
  using _ = withoutServices();
  const ended = await run(apt, ['install', '-y', '-q', '--no-install-recommends', ...names], {
    env: APT_ENVIRONMENT,
    timeoutMs: 600_000,
  });
  if (ended.status !== 0) say(`apt-get install failed: ${ended.stderr.trim()}`);
}

/** Says that no service may start, where nobody has said anything: RUNLEVEL is not asked where systemd runs. */
function withoutServices(): Disposable {
  const policy = '/usr/sbin/policy-rc.d';
  if (existsSync(policy)) return { [Symbol.dispose]: () => undefined };
  writeFileSync(policy, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  return { [Symbol.dispose]: () => rmSync(policy, { force: true }) };
}

/** apt-get update, where we may. */
export async function refreshPackageLists(): Promise<void> {
  const apt = findTool('apt-get');
  if (apt === undefined || process.getuid?.() !== 0) return;
  const ended = await run(apt, ['update', '-q'], { env: APT_ENVIRONMENT, timeoutMs: 300_000 });
  if (ended.status !== 0) say(`apt-get update failed: ${ended.stderr.trim()}`);
}
