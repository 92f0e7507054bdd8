/** Checks of nbdloop alone. */
import { runChecks } from '../checks/index.js';
import type { Options } from '../options.js';
import { selectWorkloads } from '../workloads.js';
import { imagesFor, inWorkspace, progress } from '../workspace.js';

const SETUP = { medium: 'memory', transport: 'unix', tls: false, direct: false } as const;

export const checkServer = (options: Options, names: readonly string[], signal: AbortSignal): Promise<void> =>
  inWorkspace({ ...options, quick: true }, signal, async (workspace) => {
    const { minutes } = options;
    const images = await imagesFor(workspace, selectWorkloads(['read-4k-qd1']));
    const site = {
      setup: SETUP,
      image: images.memory,
      directory: workspace.memoryDirectory,
      certificates: '',
    };
    const results = await runChecks(names, { site, minutes, signal, progress });
    progress('');
    for (const { name, reached, says } of results)
      console.log(`${name}: ${reached ? 'reached' : 'SHORT'} (${says})`);
  });
