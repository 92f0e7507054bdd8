/** The shell that runs inside a guest: the first stage in its initrd, and the second one in its root. */

/** What the second stage needs to know. */
export interface GuestSettings {
  /** Directory that host and guest share, writable, at the same absolute path on both sides. */
  readonly shared: string;
  readonly environment: Readonly<Record<string, string>>;
}

/** Names in the shared directory. */
export const GuestFile = {
  STAGE2: 'stage2.sh',
  SCRIPT: 'script.sh',
  /** Exit status of the script, once it has ended. */
  STATUS: 'status',
  KERNEL_LOG: 'kernel.log',
} as const;

/** Where busybox is in every guest; the last directory of its path. */
const TOOLS = '/run/tools';
const BUSYBOX = `${TOOLS}/busybox`;

/** Ends the machine at once, whatever hangs in it: QEMU is told that a reboot is the end. */
const END = 'echo b >/proc/sysrq-trigger';

export const quote = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

/**
 * /init of the initrd: loads the modules in the order of their list, mounts the root file system read-only and the
 * shared directory writable, and becomes the second stage.
 */
export const firstStage = (shared: string): string => `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
exec </dev/console >/dev/console 2>&1
die() { echo "guest init: $*"; ${END}; sleep 60; }
while read -r module parameters; do
  insmod "/modules/$module" $parameters || die "cannot load $module"
done </modules/list
options=trans=virtio,version=9p2000.L,msize=262144
mount -t 9p -o ro,cache=loose,$options root /newroot || die "cannot mount the root file system"
mount -t tmpfs tmpfs /newroot/run
mkdir -p /newroot${TOOLS} /newroot${quote(shared)}
cp /bin/busybox /newroot${BUSYBOX}
mount -t 9p -o cache=none,$options shared /newroot${quote(shared)} || die "cannot mount the shared directory"
for directory in proc sys dev; do mount --move /$directory /newroot/$directory; done
exec switch_root /newroot ${BUSYBOX} sh ${quote(shared)}/${GuestFile.STAGE2}
`;

/**
 * The second stage, process 1: runs the script, saves the kernel's log and the exit status, and ends the machine. The
 * status comes last: one that is there says that all the rest is, too. Of the root it needs bash alone.
 */
export const secondStage = ({ shared, environment }: GuestSettings): string => `
b=${BUSYBOX}
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:${TOOLS}
export HOME=/run TMPDIR=/run SHARED=${quote(shared)}
${Object.entries(environment)
  .map(([name, value]) => `export ${name}=${quote(value)}`)
  .join('\n')}
$b mkdir -p /dev/pts /dev/shm /run/mnt
$b mount -t devpts devpts /dev/pts
$b mount -t tmpfs tmpfs /dev/shm
$b ln -sf /proc/self/fd /dev/fd
$b hostname guest
$b ip link set lo up
if [ -e /sys/class/net/eth0 ]; then
  $b ip addr add 10.0.2.15/24 dev eth0
  $b ip link set eth0 up
  $b ip route add default via 10.0.2.2
fi
hung=/proc/sys/kernel/hung_task_timeout_secs
[ ! -e $hung ] || echo 30 >$hung
cd /run
/bin/bash -eu ${quote(shared)}/${GuestFile.SCRIPT}
status=$?
$b dmesg >${quote(shared)}/${GuestFile.KERNEL_LOG}
echo $status >${quote(shared)}/${GuestFile.STATUS}
${END}
$b sleep 60
`;
