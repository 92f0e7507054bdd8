/** Runs a script inside a Linux virtual machine that sees the host's programs. Needs no root. */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TempDir } from '../helpers/temp.js';
import type { DebianArch } from './debian.js';
import { GuestFile } from './guest-scripts.js';
import type { KernelVersion } from './kernel-image.js';
import { runQemu } from './qemu.js';

/**
 * What a guest is made of. One runs under QEMU with a stock Debian kernel, in software emulation, so on any processor.
 *
 * - **Programs** are the host's: its root file system is the guest's, read-only, so whatever is installed here runs
 *   there with its libraries. A test names what it runs to `skipUnlessGuest`, and the packages in
 *   test/runner/suites.ts. busybox is in every guest's path. What is written goes to /run (memory) or to `shared`.
 * - **Node** is that of the test run (`process.execPath`) unless a test says otherwise; see `GuestTestsOptions.node`.
 * - **Modules** are loaded with what they depend on, in order, before the script begins.
 * - **Disks** are /dev/vda, /dev/vdb and so on, in the order of `disks`.
 */
export interface GuestOptions {
  /** That of the test run unless told: 6.1, or what `npm run test:vm -- --kernel` says. */
  readonly kernel?: KernelVersion;
  /** The host's unless told. Another one needs a `root` of its own. */
  readonly arch?: DebianArch;
  /** Directory of the host that becomes the guest's root file system, read-only; `/` unless told. */
  readonly root?: string;
  /** A bash script, run with `-eu` as root of the guest; its exit status is the guest's. */
  readonly script: string;
  /** 1024 unless told. */
  readonly memoryMiB?: number;
  /** 2 unless told. */
  readonly cpus?: number;
  /** A hang limit, 400 s unless told: the guest is killed by its own id, and the run has failed. */
  readonly timeoutMs?: number;
  /** True: the host's loopback is 10.0.2.2 in the guest. */
  readonly network?: boolean | GuestCable;
  /** Parameters of the nbd module (4 devices of 15 partitions unless told); false leaves the module out. */
  readonly nbd?: { readonly nbdsMax?: number; readonly maxPart?: number } | false;
  /** Names of modules to load besides those of every guest, e.g. 'xfs', 'btrfs', 'dm_mod'. */
  readonly modules?: readonly string[];
  readonly disks?: readonly GuestDisk[];
  /** Variables of the script's environment. SHARED, the shared directory, is always there. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Called with the console's text as it comes. */
  readonly onConsole?: (text: string) => void;
}

/** To a tap device that is there already. */
export interface GuestCable {
  readonly tap: string;
  /** The words that run a program where that device is. */
  readonly inside: (program: string, args: readonly string[]) => readonly [string, ...string[]];
}

/** A virtio disk. */
export interface GuestDisk {
  /** An image file of the host, raw; its size is the disk's. */
  readonly file: string;
  /**
   * Options of QEMU's -drive, e.g. a disk that writes 1 MB a second:
   * `{ cache: 'none', aio: 'threads', 'throttling.bps-write': 1_000_000 }`.
   */
  readonly drive?: Readonly<Record<string, string | number>>;
}

export interface GuestResult {
  /** Exit status of the script, or undefined when the guest did not get that far. */
  readonly status: number | undefined;
  /** Everything on the guest's console: the script's output, and the kernel's errors. */
  readonly console: string;
  /** The kernel's whole log; the console's text when the guest died before it could be saved. */
  readonly kernelLog: string;
}

/**
 * Boots the guest, runs the script in it and waits for its end. `shared` is a directory of the host that the
 * guest sees, writable, at the same path; it holds the harness's own files too and is the caller's to remove.
 */
export async function runGuest(shared: TempDir, options: GuestOptions): Promise<GuestResult> {
  for (const left of [GuestFile.STATUS, GuestFile.KERNEL_LOG]) rmSync(shared.file(left), { force: true });
  writeFileSync(shared.file(GuestFile.SCRIPT), options.script);
  const ended = await runQemu(shared.path, options);
  const consoleText = `${ended.stdout}${ended.stderr}`.replaceAll('\r', '');
  const saved = (name: string): string | undefined => {
    const path = join(shared.path, name);
    return existsSync(path) ? readFileSync(path, 'utf8') : undefined;
  };
  const status = saved(GuestFile.STATUS);
  return {
    status: ended.timedOut || status === undefined ? undefined : Number(status),
    console: ended.timedOut ? `${consoleText}\n(the guest took too long and was killed)\n` : consoleText,
    kernelLog: saved(GuestFile.KERNEL_LOG) ?? consoleText,
  };
}
