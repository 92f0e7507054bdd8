import { open } from 'node:fs/promises';
import { type ErrnoName, LoopError } from './errno.js';

/**
 * While a process has it open, idle processors are to be ready within the microseconds it wrote there (the kernel's
 * CPU latency QoS, `kernel/power/qos.c`); with 0 they look out for work instead of halting.
 */
export const CPU_LATENCY = '/dev/cpu_dma_latency';

const REASONS: Partial<Record<ErrnoName, string>> = {
  ENOENT: 'does not exist on this machine',
  EACCES: 'is for root alone',
  EPERM: 'is kept from this process (by a container, or by DeviceAllow= of its unit)',
};

/** That file, if it can be opened; rejects with ENOENT, EACCES or EPERM, and a sentence. */
export async function openableCpuLatency(): Promise<string> {
  try {
    // access(2) would not tell: it knows nothing of a container's devices.
    await (await open(CPU_LATENCY, 'r+')).close();
    return CPU_LATENCY;
  } catch (error) {
    const errno = error instanceof Error && 'code' in error ? (error.code as ErrnoName) : 'EIO';
    const why = REASONS[errno] ?? 'cannot be opened';
    throw new LoopError(errno, `Processors can't be kept awake: ${CPU_LATENCY}, which that takes, ${why}`);
  }
}
