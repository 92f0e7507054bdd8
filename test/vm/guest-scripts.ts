/** The shell that runs inside a guest: a first stage per kernel flavour, and a common second stage. */

/** What the second stage needs to know; travels as a file of shell variables in the shared directory. */
export interface GuestSettings {
  /** Directory that host and guest share, writable, at the same absolute path on both sides. */
  readonly shared: string;
  readonly environment: Readonly<Record<string, string>>;
}

/** Names in the shared directory. */
export const GuestFile = {
  STAGE2: 'stage2.sh',
  SCRIPT: 'script.sh',
  KERNEL_LOG: 'kernel.log',
} as const;

/** I/O port of the isa-debug-exit device: qemu exits with (value << 1) | 1. */
export const DEBUG_EXIT_PORT = 0xf4;

export const quote = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

/**
 * /init of the initrd for QEMU: loads the modules in the order of their list, mounts the host's root read-only
 * and the shared directory writable, and becomes the second stage.
 */
export const qemuInit = (shared: string): string => `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
exec </dev/console >/dev/console 2>&1
die() { echo "guest init: $*"; printf '\\177' | dd of=/dev/port bs=1 seek=${DEBUG_EXIT_PORT} 2>/dev/null; }
while read -r module parameters; do
  insmod "/modules/$module" $parameters || die "cannot load $module"
done </modules/list
options=trans=virtio,version=9p2000.L,msize=262144
mount -t 9p -o ro,cache=loose,$options host /newroot || die "cannot mount the host's root"
mount -t tmpfs tmpfs /newroot/run
mkdir -p /newroot${quote(shared)}
mount -t 9p -o cache=none,$options shared /newroot${quote(shared)} || die "cannot mount the shared directory"
for directory in proc sys dev; do mount --move /$directory /newroot/$directory; done
exec switch_root /newroot /bin/sh ${quote(shared)}/${GuestFile.STAGE2}
`;

/** init of a user-mode kernel: its root is the host's already, read-only. */
export const umlInit = (shared: string, modules: readonly string[]): string => `#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -n -t proc proc /proc
mount -n -t sysfs sysfs /sys
mountpoint -q /dev || mount -n -t devtmpfs dev /dev
mount -n -t tmpfs tmpfs /run
mkdir -p ${quote(shared)}
mount -n -t hostfs none ${quote(shared)} -o ${quote(shared)}
${modules.map((line) => `insmod ${line}`).join('\n')}
exec /bin/sh ${quote(shared)}/${GuestFile.STAGE2}
`;

/**
 * The common second stage, process 1: runs the script, saves the kernel's log and reports the exit status the
 * way the flavour can. A script that fails makes a guest that fails.
 */
export const stage2 = ({ shared, environment }: GuestSettings, report: string): string => `
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export HOME=/run TMPDIR=/run SHARED=${quote(shared)}
${Object.entries(environment)
  .map(([name, value]) => `export ${name}=${quote(value)}`)
  .join('\n')}
mkdir -p /dev/pts /dev/shm /run/mnt
mount -n -t devpts devpts /dev/pts
mount -n -t tmpfs tmpfs /dev/shm
ln -sf /proc/self/fd /dev/fd
hostname guest
ip link set lo up
if [ -e /sys/class/net/eth0 ]; then
  ip addr add 10.0.2.15/24 dev eth0
  ip link set eth0 up
  ip route add default via 10.0.2.2
fi
hung=/proc/sys/kernel/hung_task_timeout_secs
[ ! -e $hung ] || echo 30 >$hung
cd /run
/bin/bash -eu ${quote(shared)}/${GuestFile.SCRIPT}
status=$?
dmesg >${quote(shared)}/${GuestFile.KERNEL_LOG}
sync
${report}
sleep 60
`;

/** QEMU ends at the write, with (status << 1) | 1; a status is 0 to 127. */
export const qemuReport = `printf "\\\\$(printf %03o $((status > 126 ? 126 : status)))" |
  dd of=/dev/port bs=1 seek=${DEBUG_EXIT_PORT} 2>/dev/null`;

/** A user-mode kernel exits with what was written there once it is halted. */
export const umlReport = `echo $status >/proc/exitcode
busybox poweroff -f`;
