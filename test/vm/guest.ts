/** Runs a script inside a Linux virtual machine that sees the host's programs. Needs no root. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Ended } from '../helpers/process.js';
import type { TempDir } from '../helpers/temp.js';
import { GuestFile } from './guest-scripts.js';
import { runQemu } from './qemu.js';
import { runUml } from './uml.js';

export interface GuestOptions {
  /** 'qemu': stock Debian kernel, two CPUs, software emulation. 'uml': user-mode Linux, one CPU, quick to start. */
  readonly kernel: 'qemu' | 'uml';
  /** A bash script, run with `-eu` as root of the guest; its exit status (0 to 126) is the guest's. */
  readonly script: string;
  readonly memoryMiB?: number;
  /** QEMU only. */
  readonly cpus?: number;
  /** A hang limit: the guest is killed by its own id, and the run has failed. */
  readonly timeoutMs?: number;
  /** QEMU only: the host's loopback is 10.0.2.2 in the guest. */
  readonly network?: boolean;
  /** Parameters of the nbd module; false leaves the module out. */
  readonly nbd?: { readonly nbdsMax?: number; readonly maxPart?: number } | false;
  /** QEMU only: modules to load besides those of every guest, e.g. 'xfs'. */
  readonly modules?: readonly string[];
  /** Variables of the script's environment. SHARED, the shared directory, is always there. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Called with the console's text as it comes. */
  readonly onConsole?: (text: string) => void;
}

export interface GuestResult {
  /** Exit status of the script, or undefined when the guest did not get that far. */
  readonly status: number | undefined;
  /** Everything on the guest's console: the script's output, and the kernel's errors. */
  readonly console: string;
  /** The kernel's whole log; the console's text when the guest died before it could be saved. */
  readonly kernelLog: string;
}

/** What a flavour implements: boots with the files of `shared` in place and translates the exit status. */
export type GuestRunner = (
  shared: string,
  options: GuestOptions,
) => Promise<{ ended: Ended; status: number | undefined }>;

/**
 * Boots the guest, runs the script in it and waits for its end. `shared` is a directory of the host that the
 * guest sees, writable, at the same path; it holds the harness's own files too and is the caller's to remove.
 */
export async function runGuest(shared: TempDir, options: GuestOptions): Promise<GuestResult> {
  writeFileSync(shared.file(GuestFile.SCRIPT), options.script);
  const runner: GuestRunner = options.kernel === 'qemu' ? runQemu : runUml;
  const { ended, status } = await runner(shared.path, options);
  const consoleText = `${ended.stdout}${ended.stderr}`.replaceAll('\r', '');
  const saved = join(shared.path, GuestFile.KERNEL_LOG);
  return {
    status: ended.timedOut ? undefined : status,
    console: ended.timedOut ? `${consoleText}\n(the guest took too long and was killed)\n` : consoleText,
    kernelLog: existsSync(saved) ? readFileSync(saved, 'utf8') : consoleText,
  };
}
