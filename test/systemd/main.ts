/**
 * `npm run test:systemd`: a Debian whose init is systemd, with the package and its units installed, boots, mounts from fstab,
 * reloads and restarts the daemon, goes down with file systems mounted, and comes up again. As root (debootstrap); some
 * ten minutes. Exits 0 when nothing failed.
 */
import { join } from 'node:path';
import { run, runOk } from '../helpers/process.js';
import { TempDir } from '../helpers/temp.js';
import { tool } from '../helpers/tools.js';
import { installPackages, packagesOf } from '../runner/packages.js';
import { buildInitrd } from '../vm/initrd.js';
import { kernelImage } from '../vm/kernel-image.js';
import { kernelComplaints } from '../vm/kernel-log.js';
import { resolveModules } from '../vm/modules.js';
import { machineWords } from '../vm/qemu.js';
import { FILES, IMAGES, systemDisk, takeOut } from './disk.js';
import { GOES_DOWN } from './probe.js';

const TOOLS = { debootstrap: 'debootstrap', 'qemu-system-x86_64': 'qemu-system-x86', cpio: 'cpio' };
/** A hang limit of one boot and its end, milliseconds. */
const BOOT_MS = 900_000;
/** Offset of the partition of d. */
const PARTITION_BYTES = 1 << 20;

const INIT = `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
while read -r module parameters; do insmod "/modules/$module" $parameters; done </modules/list
mount -t ext4 /dev/vda /newroot
for directory in proc sys dev; do mount --move /$directory /newroot/$directory; done
exec switch_root /newroot /lib/systemd/systemd
`;

let failed = 0;
function report(isGood: boolean, what: string, why = ''): void {
  if (!isGood) failed += 1;
  console.log(`${isGood ? 'ok' : 'not ok'} ${what}${isGood || why === '' ? '' : `\n${why}`}`);
}

/** Boots the disk until it has gone down by itself; what its console said. */
async function boot(shared: TempDir, disk: string): Promise<{ before: string; after: string }> {
  const kernel = await kernelImage({ arch: 'amd64' });
  const initrd = await buildInitrd(shared.path, {
    busybox: kernel.busybox,
    modulesDirectory: kernel.modules,
    modules: resolveModules(kernel.modules, ['virtio_pci', 'virtio_blk', 'crc32c_generic', 'ext4', 'nbd']),
    parameters: { nbd: 'nbds_max=8 max_part=15' },
    init: INIT,
  });
  const parameters = 'systemd.show_status=1 systemd.log_color=0 systemd.default_timeout_start_sec=900';
  const machine = { kernel: kernel.vmlinuz, initrd, parameters, disks: [{ file: disk }] };
  const { program, words } = machineWords('amd64', machine);
  const onOutput = (text: string): void => void process.stdout.write(text);
  const ended = await run(tool(program), words, { timeoutMs: BOOT_MS, onOutput });
  const [before = '', after = ''] = ended.stdout.replaceAll('\r', '').split(GOES_DOWN);
  console.log();
  const checks = [...before.matchAll(/probe: (ok|not ok) (.*)$/gm)];
  for (const [, verdict, what] of checks) report(verdict === 'ok', String(what));
  const made = /probe: (\d+) checks$/m.exec(before)?.[1];
  report(Number(made) === checks.length, `${made} checks were made`);
  report(!ended.timedOut && after !== '', 'the machine goes down, and nothing hangs');
  return { before, after };
}

/** Each file system by itself: undefined where it is clean, and what e2fsck says of it where it is not. */
async function faultsOf(disk: string, name: string): Promise<string | undefined> {
  using dir = new TempDir();
  const image = await takeOut(disk, join(FILES, `${name}.img`), dir.file(name));
  if (name === 'd') {
    const cut = ['if=d', 'of=part', `bs=${PARTITION_BYTES}`, 'skip=1', 'count=16', 'status=none'];
    await runOk('dd', cut, { cwd: dir.path });
  }
  const fs = name === 'd' ? dir.file('part') : image;
  const head = await runOk(tool('dumpe2fs'), ['-h', fs]);
  if (head.includes('needs_recovery')) return 'not unmounted';
  const { status, stdout } = await run(tool('e2fsck'), ['-fn', fs]);
  return status === 0 ? undefined : stdout;
}

async function main(): Promise<void> {
  await installPackages(packagesOf(TOOLS));
  using shared = new TempDir();
  using files = new TempDir();
  const disk = await systemDisk(files);

  const first = await boot(shared, disk);
  const complaints = kernelComplaints(first.after);
  report(complaints.length === 0, 'the kernel has nothing to complain about', complaints.join('\n'));
  report(!/Failed unmounting/.test(first.after), 'everything is unmounted');
  for (const name of IMAGES) {
    const faults = await faultsOf(disk, name);
    report(faults === undefined, `the file system of ${name} is clean`, faults);
  }

  await boot(shared, disk);
  report((await faultsOf(disk, 'b')) === undefined, 'the file system of b is clean beside a busy one');
  // Its journal is what it was when the daemon ended.
  const busy = await takeOut(disk, join(FILES, 'a.img'), files.file('a'));
  const mended = await run(tool('e2fsck'), ['-p', busy]);
  report(mended.status !== null && mended.status < 2, 'a, which was busy, is mended by its journal');
  await takeOut(busy, '/data', files.file('data'));
  const { stdout: sum } = await run(tool('debugfs'), ['-R', 'cat /sum', busy]);
  const { stdout: found } = await run('md5sum', [files.file('data')]);
  report(sum.slice(0, 32) === found.slice(0, 32), 'and holds what was written before');

  console.log(failed === 0 ? 'systemd: all passed' : `systemd: ${failed} failed`);
  process.exitCode = failed === 0 ? 0 : 1;
}

await main();
