/** Which signals end the daemon, which one has it read its settings anew, and which ones mean nothing to it. */

import { closeSync, constants, openSync } from 'node:fs';

/** Whoever sends one of these wants the daemon to end: in order, with what is in flight done. */
const ENDING = ['SIGTERM', 'SIGINT', 'SIGQUIT', 'SIGALRM', 'SIGVTALRM', 'SIGXCPU'] as const;
/** Node opens its inspector on the first of these; by default the second ends a process. Here they do nothing. */
const IGNORED = ['SIGUSR1', 'SIGUSR2'] as const;

/**
 * Takes from Node the signals it gives a meaning of its own: on SIGUSR1 it would open a debugger's port to every local
 * user. For every program, as the first thing it does.
 */
export function ignoreUserSignals(): void {
  for (const signal of IGNORED) process.on(signal, () => undefined);
}

export interface DaemonSignals {
  /** Resolves at the first signal that asks for the end, or when the terminal we were started from is gone. */
  readonly ended: Promise<void>;
  /** What SIGHUP does from now on; until then, while the daemon starts, it does nothing. */
  onReload(reload: () => void): void;
}

/** `endNow`: called at a second signal that asks for the end. */
export function daemonSignals(endNow: () => void): DaemonSignals {
  const hadTerminal = hasTerminal();
  let asked = 0;
  let reload = (): void => undefined;
  const ended = new Promise<void>((resolve) => {
    for (const signal of ENDING) {
      process.on(signal, () => {
        asked += 1;
        if (asked === 1) resolve();
        else endNow();
      });
    }
    // SIGHUP is a reload to a daemon and the end to what a terminal runs: it is the end once our terminal is gone.
    process.on('SIGHUP', () => {
      if (hadTerminal && !hasTerminal()) resolve();
      else reload();
    });
  });
  return {
    ended,
    onReload: (work) => {
      reload = work;
    },
  };
}

/** True while this process has a controlling terminal: the kernel takes it away before it sends SIGHUP (tty(4)). */
function hasTerminal(): boolean {
  try {
    closeSync(openSync('/dev/tty', constants.O_RDWR | constants.O_NOCTTY | constants.O_NONBLOCK));
    return true;
  } catch {
    return false;
  }
}
