/** QEMU guests: software emulation, the stock Debian kernel, the host's root over 9p. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../helpers/process.js';
import { tool } from '../helpers/tools.js';
import type { GuestOptions, GuestRunner } from './guest.js';
import { DEBUG_EXIT_PORT, GuestFile, qemuInit, qemuReport, stage2 } from './guest-scripts.js';
import { buildInitrd } from './initrd.js';
import { kernelImage } from './kernel-image.js';
import { resolveModules } from './modules.js';

/** crc32c_generic serves ext4, which asks for it by algorithm, not by dependency. */
const MODULES = ['virtio_pci', '9p', '9pnet_virtio', 'virtio_net', 'crc32c_generic', 'loop', 'ext4'];

/**
 * Everything that the emulation has, but for what it makes slow: copying by string instructions goes byte by byte,
 * tables of a fifth level are walked in software, and each copy from user space would change a flag twice.
 */
const CPU = 'max,erms=off,fsrm=off,la57=off,smap=off';

export const runQemu: GuestRunner = async (shared, options) => {
  const kernel = await kernelImage();
  const nbd = options.nbd ?? {};
  const names = [...MODULES, ...(options.modules ?? []), ...(nbd === false ? [] : ['nbd'])];
  const initrd = await buildInitrd(shared, {
    modulesDirectory: kernel.modules,
    modules: resolveModules(kernel.modules, names),
    parameters: {
      loop: 'max_loop=8',
      nbd: nbd === false ? '' : `nbds_max=${nbd.nbdsMax ?? 4} max_part=${nbd.maxPart ?? 15}`,
    },
    init: qemuInit(shared),
  });
  writeFileSync(
    join(shared, GuestFile.STAGE2),
    stage2({ shared, environment: options.environment ?? {} }, qemuReport),
  );
  const ended = await run(
    tool('qemu-system-x86_64'),
    qemuArguments({ vmlinuz: kernel.vmlinuz, initrd, shared, options }),
    {
      timeoutMs: options.timeoutMs ?? 180_000,
      ...(options.onConsole === undefined ? {} : { onOutput: options.onConsole }),
    },
  );
  return { ended, status: scriptStatus(ended.status) };
};

/** The debug exit device makes every exit odd; a panic or a reboot ends with 0, and a failed qemu with 1 (see init). */
function scriptStatus(exit: number | null): number | undefined {
  return exit === null || exit % 2 === 0 ? undefined : (exit - 1) / 2;
}

interface Machine {
  readonly vmlinuz: string;
  readonly initrd: string;
  readonly shared: string;
  readonly options: GuestOptions;
}

function qemuArguments({ vmlinuz, initrd, shared, options }: Machine): string[] {
  const filesystem = (tag: string, path: string, more: string): string[] => [
    '-fsdev',
    `local,id=${tag},path=${path.replaceAll(',', ',,')},security_model=none,multidevs=remap${more}`,
    '-device',
    `virtio-9p-pci,fsdev=${tag},mount_tag=${tag}`,
  ];
  return [
    ...['-accel', 'tcg,thread=multi', '-cpu', CPU, '-smp', String(options.cpus ?? 2)],
    ...['-m', String(options.memoryMiB ?? 1024), '-nodefaults', '-display', 'none', '-no-reboot'],
    ...['-serial', 'stdio', '-kernel', vmlinuz, '-initrd', initrd],
    ...['-append', 'console=ttyS0 quiet panic=-1 nosoftlockup mitigations=off nokaslr tsc=reliable'],
    ...['-device', `isa-debug-exit,iobase=0x${DEBUG_EXIT_PORT.toString(16)},iosize=0x01`],
    ...filesystem('host', '/', ',readonly=on'),
    ...filesystem('shared', shared, ''),
    ...(options.network === true
      ? ['-netdev', 'user,id=net', '-device', 'virtio-net-pci,netdev=net,romfile=']
      : []),
  ];
}
