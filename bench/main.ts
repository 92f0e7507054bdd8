/** `npm run bench`. */
import { ablate } from './commands/ablate.js';
import { checkServer } from './commands/check.js';
import { compareServers, listEverything } from './commands/compare.js';
import { profileServer } from './commands/profile.js';
import { type Options, parseOptions } from './options.js';
import { progress } from './workspace.js';

const main = (options: Options, signal: AbortSignal): Promise<void> => {
  if (options.list) return listEverything();
  if (options.check !== undefined) return checkServer(options, options.check, signal);
  if (options.ablate) return ablate(options, signal);
  if (options.profile) return profileServer(options, signal);
  return compareServers(options, signal);
};

// Not `once`: a helper that repeats the signal must not end the process before it has cleaned up.
const interrupted = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => interrupted.abort());
try {
  await main(parseOptions(process.argv.slice(2)), interrupted.signal);
} catch (error) {
  progress('');
  console.error(`bench: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
