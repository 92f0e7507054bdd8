/** nbdloop serve FILE... [options]: nbdloopd in the foreground, with each file as --device. */

import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const DAEMON = fileURLToPath(new URL('./nbdloopd.js', import.meta.url));

/** Files come first; from the first option on, the words are nbdloopd's. Ends as the daemon ends. */
export async function serve(words: readonly string[]): Promise<void> {
  const at = words.findIndex((word) => word.startsWith('-'));
  const files = at < 0 ? words : words.slice(0, at);
  const options = at < 0 ? [] : words.slice(at);
  const devices = files.flatMap((file) => ['--device', resolve(file)]);
  const child = spawn(process.execPath, [DAEMON, ...devices, ...options], { stdio: 'inherit' });
  const pass = (signal: NodeJS.Signals): void => void child.kill(signal);
  // The terminal sends SIGINT to both; the daemon's end is ours.
  process.on('SIGINT', () => undefined);
  process.on('SIGTERM', pass);
  process.exitCode = await new Promise<number>((done, failed) => {
    child.once('error', failed);
    child.once('exit', (status, signal) =>
      done(status ?? 128 + (signal === null ? 0 : constants.signals[signal])),
    );
  });
  process.off('SIGTERM', pass);
}
