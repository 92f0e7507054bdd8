/** Runs a system program without blocking the daemon. */

import { spawn } from 'node:child_process';

export interface CommandResult {
  readonly status: number | null;
  /** What it wrote, output and errors, at most `MAX_OUTPUT` characters. */
  readonly output: string;
}

const MAX_OUTPUT = 16_384;

/**
 * Rejects when the program is missing (code ENOENT). A program that is not done after `timeoutMs` is killed and
 * has no status. Done is its exit: a daemon that it leaves behind may keep our pipes open.
 */
export function runCommand(
  program: string,
  args: readonly string[],
  timeoutMs: number,
): Promise<CommandResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: timeoutMs,
      killSignal: 'SIGKILL',
    });
    let output = '';
    const collect = (chunk: Buffer): void => {
      if (output.length < MAX_OUTPUT) output += chunk.toString('utf8');
    };
    child.stdout.on('data', collect);
    child.stderr.on('data', collect);
    child.once('error', reject);
    child.once('exit', (status) => {
      // Whatever was written before the exit is in the pipes already.
      setImmediate(() => {
        child.stdout.destroy();
        child.stderr.destroy();
        resolve({ status, output: output.trim() });
      });
    });
  });
}

/** The last line that says something, for a message of one sentence. */
export const lastLine = (output: string): string =>
  output
    .split(/\r|\n/)
    .findLast((line) => line.trim() !== '')
    ?.trim() ?? '';
