import { access, constants } from 'node:fs/promises';
import { LoopError } from './errno.js';

/**
 * While a process has it open, idle processors are to be ready within the microseconds it wrote there (the kernel's
 * CPU latency QoS, `kernel/power/qos.c`); with 0 they look out for work instead of halting.
 */
export const CPU_LATENCY = '/dev/cpu_dma_latency';

/** That file, if we may open it; rejects with ENOENT or EACCES and a sentence. */
export async function openableCpuLatency(): Promise<string> {
  try {
    await access(CPU_LATENCY, constants.R_OK | constants.W_OK);
    return CPU_LATENCY;
  } catch (error) {
    const isMissing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    const why = isMissing ? 'it does not exist here' : 'it can only be opened by root';
    throw new LoopError(
      isMissing ? 'ENOENT' : 'EACCES',
      `Processors can't be kept awake: that takes ${CPU_LATENCY}, and ${why}`,
    );
  }
}
