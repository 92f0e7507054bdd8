/** nbdloop web --open: a browser is shown the page without the token being told to every user of the machine. */

import { spawn } from 'node:child_process';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { defaultRunDirectory } from '../control/client.js';
import { CliError } from './fail.js';

/** In the order in which they are tried, where BROWSER is not set. */
const OPENERS = ['xdg-open', 'sensible-browser', 'x-www-browser'];

/**
 * Opens the address in a browser. Words of a command line can be read by everybody, so the browser is given a file of ours
 * that leads there.
 */
export async function openPage(url: string): Promise<void> {
  const directory = defaultRunDirectory();
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const file = join(directory, 'web.html');
  await rm(file, { force: true });
  const text = `<!doctype html><meta http-equiv="refresh" content="0;url=${url}"><title>nbdloop</title>\n`;
  await writeFile(file, text, { mode: 0o600, flag: 'wx' });
  const named = process.env.BROWSER;
  for (const program of named === undefined || named === '' ? OPENERS : [named]) {
    if (await started(program, file)) return;
  }
  throw new CliError('ENOENT', `no program opens the page here; give a browser this address: ${url}`);
}

/** True once it runs. */
function started(program: string, file: string): Promise<boolean> {
  return new Promise((resolve) => {
    const child = spawn(program, [file], { stdio: 'ignore', detached: true });
    child.once('error', () => resolve(false));
    child.once('spawn', () => {
      child.unref();
      resolve(true);
    });
  });
}
