/** QEMU guests: software emulation, a stock Debian kernel, the host's root over 9p. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Ended, run } from '../helpers/process.js';
import { tool } from '../helpers/tools.js';
import { type DebianArch, hostArch } from './debian.js';
import type { GuestDisk, GuestOptions } from './guest.js';
import { firstStage, GuestFile, secondStage } from './guest-scripts.js';
import { buildInitrd } from './initrd.js';
import { type KernelImage, kernelImage } from './kernel-image.js';
import { GUEST_MACHINES } from './machines.js';
import { resolveModules } from './modules.js';

/** crc32c_generic serves ext4, which asks for it by algorithm, not by dependency. */
const MODULES = ['virtio_pci', '9p', '9pnet_virtio', 'crc32c_generic', 'loop', 'ext4'];

/** Boots the guest with the files of `shared` in place; how QEMU ended says nothing of the script. */
export async function runQemu(shared: string, options: GuestOptions): Promise<Ended> {
  const { arch = hostArch(), root = '/' } = options;
  const kernel = await kernelImage({
    arch,
    ...(options.kernel === undefined ? {} : { version: options.kernel }),
  });
  const initrd = await initrdFor(kernel, shared, options);
  writeFileSync(
    join(shared, GuestFile.STAGE2),
    secondStage({ shared, environment: options.environment ?? {} }),
  );
  if (root !== '/') mkdirSync(join(root, shared), { recursive: true });
  const { program, words } = machineWords(arch, { ...options, kernel: kernel.vmlinuz, initrd });
  const more = [
    ...fileSystem('root', root, ',readonly=on'),
    ...fileSystem('shared', shared, ''),
    ...network(options.network),
  ];
  const [started, ...args] = within(options.network, tool(program), [...words, ...more]);
  return await run(started, args, {
    timeoutMs: options.timeoutMs ?? 400_000,
    ...(options.onConsole === undefined ? {} : { onOutput: options.onConsole }),
  });
}

/** What a machine boots, and on what. */
export interface Booted extends Pick<GuestOptions, 'cpus' | 'memoryMiB' | 'disks'> {
  readonly kernel: string;
  readonly initrd: string;
  /** Of the kernel, or of what it starts. */
  readonly parameters?: string;
}

/** QEMU's program and words for a machine with its console on standard output, that a reboot ends. */
export function machineWords(arch: DebianArch, booted: Booted): { program: string; words: string[] } {
  const { program, options, kernelParameters } = GUEST_MACHINES[arch];
  const { kernel, initrd, parameters = '', cpus = 2, memoryMiB = 1024, disks = [] } = booted;
  const words = [
    ...options,
    ...['-smp', String(cpus), '-m', String(memoryMiB)],
    ...['-nodefaults', '-display', 'none', '-no-reboot', '-serial', 'stdio'],
    ...['-kernel', kernel, '-initrd', initrd],
    ...['-append', `${kernelParameters} quiet panic=-1 nosoftlockup mitigations=off nokaslr ${parameters}`],
    ...disks.flatMap(disk),
  ];
  return { program, words };
}

function initrdFor(kernel: KernelImage, shared: string, options: GuestOptions): Promise<string> {
  const { nbd = {}, modules = [], disks = [], network: wanted = false } = options;
  const names = [
    ...MODULES,
    ...(disks.length > 0 ? ['virtio_blk'] : []),
    ...(wanted === false ? [] : ['virtio_net']),
    ...modules,
    ...(nbd === false ? [] : ['nbd']),
  ];
  return buildInitrd(shared, {
    busybox: kernel.busybox,
    modulesDirectory: kernel.modules,
    modules: resolveModules(kernel.modules, names),
    parameters: {
      loop: 'max_loop=8',
      ...(nbd === false ? {} : { nbd: `nbds_max=${nbd.nbdsMax ?? 4} max_part=${nbd.maxPart ?? 15}` }),
    },
    init: firstStage(shared),
  });
}

/** A value in an option of QEMU: its commas are doubled. */
const escaped = (value: string): string => value.replaceAll(',', ',,');

const fileSystem = (tag: string, path: string, more: string): string[] => [
  '-fsdev',
  `local,id=${tag},path=${escaped(path)},security_model=none,multidevs=remap${more}`,
  '-device',
  `virtio-9p-pci,fsdev=${tag},mount_tag=${tag}`,
];

function network(wanted: GuestOptions['network']): string[] {
  if (wanted === undefined || wanted === false) return [];
  const end = wanted === true ? 'user,id=net' : `tap,id=net,ifname=${wanted.tap},script=no,downscript=no`;
  return ['-netdev', end, '-device', 'virtio-net-pci,netdev=net,romfile='];
}

const within = (
  wanted: GuestOptions['network'],
  program: string,
  args: readonly string[],
): readonly [string, ...string[]] =>
  typeof wanted === 'object' ? wanted.inside(program, args) : [program, ...args];

function disk({ file, drive = {} }: GuestDisk, number: number): string[] {
  const settings = { if: 'none', id: `disk${number}`, format: 'raw', ...drive, file };
  const words = Object.entries(settings).map(([name, value]) => `${name}=${escaped(String(value))}`);
  return ['-drive', words.join(','), '-device', `virtio-blk-pci,drive=disk${number}`];
}
