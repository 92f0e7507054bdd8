import { mkdir } from 'node:fs/promises';
import type { Site } from '../servers/server.js';
import type { Check, CheckContext, CheckResult } from './check.js';
import { checkFairness } from './fairness.js';
import { checkIdle } from './idle.js';
import { checkMemory } from './memory.js';
import { checkStart } from './start.js';

const CHECKS: Readonly<Record<string, Check>> = {
  start: checkStart,
  idle: checkIdle,
  fairness: checkFairness,
  memory: checkMemory,
};

/** Throws on a name that is none. */
export const runChecks = async (names: readonly string[], context: CheckContext): Promise<CheckResult[]> => {
  const results: CheckResult[] = [];
  for (const name of names) {
    const check = CHECKS[name];
    if (check === undefined) {
      throw new Error(`No check is named ${name}: there are ${Object.keys(CHECKS).join(', ')}.`);
    }
    const directory = `${context.site.directory}/${name}`;
    await mkdir(directory);
    const site: Site = { ...context.site, directory };
    results.push(await check({ ...context, site }));
  }
  return results;
};
