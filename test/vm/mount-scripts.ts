/** Mounts by mount(8) and lines of fstab, who claims a device, and a daemon that ends with its machine. */
import { resolve } from 'node:path';

/** mount(8) looks for its helpers in /sbin alone, which is the host's: a layer in memory over it. */
const HELPERS = `
install_helpers() {
  local name
  mkdir -p /run/sbin /run/sbin.host
  mount --bind /usr/sbin /run/sbin.host
  mount -t tmpfs sbin /run/sbin
  ln -s /run/sbin.host/* /run/sbin/
  for name in mount umount; do
    printf '#!/bin/sh\\nexec %s %s "$@"\\n' "$NODE" "$NBDLOOP_PROGRAMS/$name-nbdloop.js" >/run/sbin/$name.nbdloop
    chmod +x /run/sbin/$name.nbdloop
  done
  mount --bind /run/sbin /usr/sbin
}
remove_helpers() { umount /usr/sbin /run/sbin /run/sbin.host; }
`;

const WITH_HELPERS = `
${HELPERS}
install_helpers
trap remove_helpers EXIT
truncate -s 64M /run/disk.img
mkfs.ext4 -q -F /run/disk.img
`;

const UNMOUNT = resolve('packaging/nbdloop-unmount');

export const MOUNT_HELPER = `
${WITH_HELPERS}
say 'mount -t nbdloop'
mount -t nbdloop -o fstype=ext4,noatime,name=db,connections=2 /run/disk.img /run/mnt
grep -q '^/dev/nbd0 /run/mnt ext4 rw,noatime' /proc/mounts
api GET /devices/0 >/run/answer
grep -q '"openers":2,.*"autoclear":true,.*"exportName":"db"' /run/answer
grep -q 'TARGET=/run/mnt .*_netdev.*helper=nbdloop' /run/mount/utab
echo hello >/run/mnt/file
say 'umount has let the device go when it returns'
umount /run/mnt
is_cleared_within 5 nbd0 /run/disk.img
say 'lines of fstab, more than once'
printf '%s\\n' '/run/disk.img /run/mnt nbdloop fstype=ext4,ro,_netdev,nofail 0 0' >/run/fstab
mount -a -T /run/fstab
mount -a -T /run/fstab
[ "$(grep -c '^/dev/nbd0 /run/mnt ext4 ro' /proc/mounts)" = 1 ]
[ "$(cat /run/mnt/file)" = hello ]
umount -i /run/mnt
wait_until is_cleared nbd0 /run/disk.img
`;

/** On demand: NBDLOOP_ALL_MOUNTS=1. */
export const OTHER_MOUNTS = `
${WITH_HELPERS}
say 'a partition'
truncate -s 64M /run/parts.img
printf 'label: dos\\n,8M\\n,\\n' | sfdisk -q /run/parts.img
mkfs.ext4 -q -F -E offset=$((9 << 20)) /run/parts.img 40M
mount -t nbdloop.ext4 -o partition=2 /run/parts.img /run/mnt
grep -q '^/dev/nbd0p2 /run/mnt ext4 rw' /proc/mounts
umount /run/mnt
is_cleared_within 5 nbd0 /run/parts.img

say 'what is no file system leaves nothing behind'
truncate -s 1M /run/empty.img
if mount -t nbdloop -o fstype=ext4 /run/empty.img /run/mnt; then exit 1; else status=$?; fi
[ $status = 32 ]
wait_until is_cleared nbd0 /run/empty.img
if mount -t nbdloop /run/none.img /run/mnt 2>/run/error; then exit 1; else status=$?; fi
cat /run/error
[ $status = 32 ]
grep -q 'none.img.*ENOENT' /run/error
mount -t nbdloop -o nofail /run/none.img /run/mnt

say 'a device that was bound before stays'
attached /run/disk.img
mount -t nbdloop /run/disk.img /run/mnt
grep -q "^$node /run/mnt ext4 rw" /proc/mounts
umount /run/mnt
is_attached nbd$number
api DELETE "/devices/$number/backing"
wait_until is_cleared nbd$number /run/disk.img
`;

/** As kernels from 6.17 on refuse it for their own loop devices. */
export const CLAIMED = `
truncate -s 64M /run/disk.img
mkfs.ext4 -q -F /run/disk.img
attached /run/disk.img
refused() {
  if api "$@" >/run/answer; then exit 1; fi
  cat /run/answer
  grep -q 'is mounted on /run/mnt.*EBUSY\\|EBUSY.*is mounted on /run/mnt' /run/answer
}
mount $node /run/mnt
say 'block size, offset and size limit of a mounted device'
refused PUT "/devices/$number/block-size" '{"bytes":4096}'
refused PATCH "/devices/$number" '{"offset":4096}'
refused PATCH "/devices/$number" '{"sizeLimit":1048576}'
api PUT "/devices/$number/block-size" '{"bytes":512}' >/dev/null
api PATCH "/devices/$number" '{"offset":0,"autoclear":false,"exportName":"db"}' >/dev/null
umount /run/mnt
say 'and of one that nobody claims'
api PUT "/devices/$number/block-size" '{"bytes":4096}' >/dev/null
api PATCH "/devices/$number" '{"offset":4096}' >/dev/null
api DELETE "/devices/$number/backing"
wait_until is_cleared nbd$number /run/disk.img
`;

/** The last test of a guest: its daemon ends. With an OpenRC that says that the machine does, since no systemd runs there. */
/** What nbdloopd.service runs before it ends the daemon with the machine: one file system is busy at first, one has a number of its own. */
export const UNMOUNTED = `
truncate -s 32M /run/one.img
truncate -s 64M /run/two.img
truncate -s 128M /run/three.img
mkdir -p '/run/a name' /run/mapped /run/other
mount -t tmpfs other /run/other
attached /run/one.img
numbers=$number
mkfs.ext4 -q $node
mount $node '/run/a name'
mkdir '/run/a name/below'
printf 'label: dos\\n,32M\\n' | sfdisk -q /run/two.img
attached /run/two.img '"partscan":true'
numbers="$numbers $number"
mkfs.ext4 -q \${node}p1
mount \${node}p1 '/run/a name/below'
attached /run/three.img
numbers="$numbers $number"
echo "0 262144 linear $node 0" | dmsetup create held
mapped=/dev/$(basename $(readlink -f /sys/block/nbd$number/holders/*))
mkfs.btrfs -q $mapped
mount $mapped /run/mapped
echo data >'/run/a name/below/file'
sleep 2 <'/run/a name/below/file' &
say 'not unless the machine goes down'
sh ${UNMOUNT}
[ $(grep -cE '^/dev/(nbd|dm-)' /proc/mounts) = 3 ]
sh ${UNMOUNT} --now
if grep -E '^/dev/(nbd|dm-)' /proc/mounts; then exit 1; fi
mountpoint -q /run/other
umount /run/other
dmsetup remove held
for number in $numbers; do api DELETE "/devices/$number/backing"; done
for number in $numbers; do wait_until is_free nbd$number; done
`;

export const MACHINE_ENDS = `
truncate -s 64M /run/disk.img /run/idle.img
mkfs.ext4 -q -F /run/disk.img
attached /run/idle.img
idle=nbd$number
attached /run/disk.img
mount $node /run/mnt
echo hello >/run/mnt/file
mkdir -p /run/openrc
echo shutdown >/run/openrc/softlevel
kill -TERM $daemon
wait_until is_free $idle
wait_until grep -q 'the machine goes down and the device is in use' /run/daemon.log
umount /run/mnt || umount -l /run/mnt
wait_until is_free nbd$number
debugfs -R 'cat file' /run/disk.img 2>/dev/null | grep -q hello
say 'what was mounted had been written'
`;
