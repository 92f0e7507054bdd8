/** What each mechanism of `server/pace` gains on this machine: nbdloop with all of them, and without each, in turns. */
import { cpus } from 'node:os';
import { gainOf, MECHANISMS, type Mechanism, makeTree, PROGRAM } from '../ablation.js';
import type { Options } from '../options.js';
import { runWorkloads } from '../rounds.js';
import { nbdloop, startNbdloop } from '../servers/nbdloop.js';
import type { Server } from '../servers/server.js';
import { selectWorkloads } from '../workloads.js';
import { imagesFor, inWorkspace, progress } from '../workspace.js';

const serverOf = (directory: string, mechanism: Mechanism | undefined): Server => ({
  ...nbdloop,
  name: mechanism === undefined ? 'nbdloop' : `without-${mechanism.name}`,
  role: mechanism === undefined ? 'ours' : 'peer',
  start: (site) => startNbdloop(site, { program: `${directory}/${PROGRAM}` }),
});

export const ablate = (options: Options, signal: AbortSignal): Promise<void> =>
  inWorkspace(options, signal, async (workspace) => {
    const own = [...new Set(MECHANISMS.map(({ workload }) => workload))];
    const workloads = selectWorkloads(options.only ?? own);
    const variants = [undefined, ...MECHANISMS];
    const servers: Server[] = [];
    for (const [number, mechanism] of variants.entries()) {
      const directory = `${workspace.diskDirectory}/${mechanism?.name ?? 'all'}`;
      await makeTree(directory, mechanism, number);
      servers.push(serverOf(directory, mechanism));
    }
    const cores = cpus().length;
    await runWorkloads({
      rounds: options.rounds ?? 5,
      runtime: options.runtime ?? 3,
      workloads,
      servers,
      images: await imagesFor(workspace, workloads),
      directory: workspace.memoryDirectory,
      cores,
      signal,
      progress,
      finished: ({ workload, results }) => {
        progress('');
        const lines = MECHANISMS.flatMap((mechanism) => gainOf(mechanism, workload, results, cores) ?? []);
        const failures = results.flatMap(({ server, failure }) =>
          failure ? [`${server} failed: ${failure}`] : [],
        );
        console.log([workload.id, ...[...lines, ...failures].map((line) => `  ${line}`), ''].join('\n'));
      },
    });
  });
