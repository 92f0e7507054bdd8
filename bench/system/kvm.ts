import { accessSync, constants } from 'node:fs';

/**
 * A virtual machine can have the host's own processor. Emulated, a kernel's work and ours cost ten times as much, and not in the same
 * proportion.
 */
export function hasKvm(): boolean {
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
