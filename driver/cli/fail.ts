/** The one error printer: a sentence with the errno name on stderr, and the exit status. */

import { readableName } from '../file-name.js';
import { closeDoors } from './doors.js';
import { ignoreUserSignals } from './signals.js';

/** A mistake found on this side of the socket. */
export class CliError extends Error {
  override readonly name = 'CliError';
  constructor(
    readonly errno: string,
    message: string,
  ) {
    super(message);
  }
}

/** Prints `program: sentence (ERRNO)`. */
export function printError(program: string, error: unknown): void {
  process.stderr.write(`${program}: ${readableName(sentenceOf(error))}\n`);
}

/** The sentence of an error, with its errno name once. */
export function sentenceOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const errno = errnoOf(error);
  const sentence = plain(error.message);
  return errno === undefined || sentence.includes(errno) ? sentence : `${sentence} (${errno})`;
}

/** What an error of Node's says happened: `no such file or directory`. */
export function reasonOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return /^E[A-Z0-9]+: (.*?), \w+/.exec(message)?.[1] ?? message;
}

/** Node says "EACCES: permission denied, mkdir '/x'": that is "/x: mkdir: permission denied". */
function plain(message: string): string {
  const [, what, call, path] = /^E[A-Z0-9]+: (.*?), (\w+)(?: '(.*?)'.*)?$/.exec(message) ?? [];
  if (what === undefined) return message.replace(/\.$/, '');
  return `${path === undefined ? '' : `${path}: `}${call}: ${what}`;
}

/** Ours carry the name in `errno`; Node's own in `code`, and a number in `errno`. */
export function errnoOf(error: unknown): string | undefined {
  if (error instanceof Error && 'errno' in error && typeof error.errno === 'string') return error.errno;
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' && /^E[A-Z0-9]+$/.test(code) ? code : undefined;
}

/**
 * Runs a program to its exit status. The status is set, not forced, so that what was printed leaves first; a
 * reader that closed our output (`| head`) ends the program quietly.
 */
export function runProgram(program: string, main: () => Promise<number>): void {
  ignoreUserSignals();
  closeDoors();
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (outlivesReader) return;
    if (error.code !== 'EPIPE') printError(program, error);
    process.exit(error.code === 'EPIPE' ? 0 : 1);
  });
  main().then(
    (status) => {
      process.exitCode = status;
    },
    (error: unknown) => {
      printError(program, error);
      process.exitCode = 1;
    },
  );
}

let outlivesReader = false;

/** From here on the program goes on when nobody reads what it prints, or its terminal is gone. */
export function outliveReader(): void {
  outlivesReader = true;
  process.stderr.on('error', () => undefined);
}
