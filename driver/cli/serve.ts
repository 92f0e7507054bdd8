/** nbdloop serve FILE... [options]: nbdloopd in the foreground, with each file as --device. */

import { absolutePath } from '../file-name.js';
import { startPrepared } from '../process-start.js';

/** Files come first; from the first option on, the words are nbdloopd's. Does not return. */
export async function serve(words: readonly string[]): Promise<never> {
  const at = words.findIndex((word) => word.startsWith('-'));
  const files = at < 0 ? words : words.slice(0, at);
  const options = at < 0 ? [] : words.slice(at);
  startPrepared();
  // This process becomes the daemon: a terminal's signals reach one program, once.
  const { runDaemon } = await import('./run-daemon.js');
  return await runDaemon([...files.flatMap((file) => ['--device', absolutePath(file)]), ...options]);
}
