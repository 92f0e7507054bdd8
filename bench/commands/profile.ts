/** Where nbdloop spends its time. */
import { loadavg } from 'node:os';
import { lookAround } from '../conditions.js';
import type { Options } from '../options.js';
import { type Profile, profileRemarks, profileTable, profileWorkload } from '../profile/profile.js';
import { profileMarkdown, writeMarkdown } from '../report/markdown.js';
import { table } from '../report/text.js';
import { selectWorkloads } from '../workloads.js';
import { imageSizes, imagesFor, inWorkspace, progress } from '../workspace.js';

const USUAL = ['read-4k-qd1', 'read-4k-qd16', 'write-4k-qd16', 'read-4k-qd16-c4'];

export const profileServer = (options: Options, signal: AbortSignal): Promise<void> =>
  inWorkspace(options, signal, async (workspace) => {
    const workloads = selectWorkloads(options.only ?? USUAL);
    const [loadBefore = 0] = loadavg();
    const runs = { rounds: 1, runtime: 0, servers: [], loadBefore };
    const conditions = await lookAround({ ...workspace, ...imageSizes(options), ...runs });
    const images = await imagesFor(workspace, workloads);
    const profiles: Profile[] = [];
    for (const workload of workloads) {
      progress(`${workload.id} under perf`);
      profiles.push(
        await profileWorkload(workload, { images, directory: workspace.memoryDirectory, signal }),
      );
    }
    progress('');
    const { columns, rows } = profileTable(profiles);
    console.log([table(columns, rows), '', ...profileRemarks(profiles)].join('\n'));
    if (options.markdown !== undefined) {
      await writeMarkdown(options.markdown, 'profile', profileMarkdown(conditions, profiles));
    }
  });
