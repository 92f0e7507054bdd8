/** Mounts by mount(8) and lines of fstab, who claims a device, and a daemon that ends with its machine. */

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

export const MOUNT_HELPER = `
${HELPERS}
install_helpers
trap remove_helpers EXIT
truncate -s 64M /run/disk.img
mkfs.ext4 -q -F /run/disk.img
say 'mount -t nbdloop'
mount -t nbdloop -o fstype=ext4,noatime,name=db,connections=2 /run/disk.img /run/mnt
grep -q '^/dev/nbd0 /run/mnt ext4 rw,noatime' /proc/mounts
[ "$(nbdlosetup -n --raw -O NAME,EXPORT,AUTOCLEAR)" = '/dev/nbd0 db 1' ]
nbdloop status --json db | grep -q '"openers": 2'
echo hello >/run/mnt/file
say 'umount has let the device go when it returns'
umount /run/mnt
is_cleared nbd0 /run/disk.img
[ -z "$(nbdlosetup -n --raw)" ]

say 'lines of fstab'
printf '%s\\n' '/run/disk.img /run/mnt nbdloop fstype=ext4,ro,_netdev,nofail 0 0' \\
  '/run/none.img /run/none nbdloop nofail 0 0' >/run/fstab
mkdir -p /run/none
mount -a -T /run/fstab
grep -q '^/dev/nbd0 /run/mnt ext4 ro' /proc/mounts
[ "$(cat /run/mnt/file)" = hello ]
[ "$(nbdlosetup -n --raw -O RO /dev/nbd0)" = 1 ]
mount -a -T /run/fstab
[ "$(grep -c ' /run/mnt ' /proc/mounts)" = 1 ]
umount /run/mnt
is_cleared nbd0 /run/disk.img

say 'a partition'
truncate -s 64M /run/parts.img
printf 'label: dos\\n,8M\\n,\\n' | sfdisk -q /run/parts.img
mkfs.ext4 -q -F -E offset=$((9 << 20)) /run/parts.img 40M
mount -t nbdloop.ext4 -o partition=2 /run/parts.img /run/mnt
grep -q '^/dev/nbd0p2 /run/mnt ext4 rw' /proc/mounts
umount /run/mnt
is_cleared nbd0 /run/parts.img

say 'what is no file system leaves nothing behind'
truncate -s 1M /run/empty.img
if mount -t nbdloop -o fstype=ext4 /run/empty.img /run/mnt; then exit 1; else status=$?; fi
[ $status = 32 ]
wait_until is_cleared nbd0 /run/empty.img
if mount -t nbdloop /run/none.img /run/mnt 2>/run/error; then exit 1; else status=$?; fi
cat /run/error
[ $status = 32 ]
grep -q 'none.img.*ENOENT' /run/error

say 'a device that was bound before stays'
[ "$(nbdlosetup -f --show /run/disk.img)" = /dev/nbd0 ]
mount -t nbdloop /run/disk.img /run/mnt
grep -q '^/dev/nbd0 /run/mnt ext4 rw' /proc/mounts
umount /run/mnt
is_attached nbd0
nbdlosetup -d /dev/nbd0
`;

/** As kernels from 6.17 on refuse it for their own loop devices. */
export const CLAIMED = `
truncate -s 64M /run/disk.img
mkfs.ext4 -q -F /run/disk.img
[ "$(nbdlosetup -f --show /run/disk.img)" = /dev/nbd0 ]
patch() { curl -sS -o /run/answer -w '%{http_code}' --unix-socket "$NBDLOOP_CONTROL" -X PATCH \\
  -H 'content-type: application/json' -d "$1" http://x/devices/0; }
mount /dev/nbd0 /run/mnt
say 'block size, offset and size limit of a mounted device'
if nbdlosetup -b 4096 /dev/nbd0 2>/run/error; then exit 1; fi
cat /run/error
grep -q '/run/mnt.*EBUSY' /run/error
[ "$(patch '{"offset":4096}')" = 409 ]
grep -q EBUSY /run/answer
[ "$(patch '{"sizeLimit":1048576}')" = 409 ]
nbdlosetup -b 512 /dev/nbd0
[ "$(patch '{"exportName":"db"}')" = 200 ]
[ "$(patch '{"offset":0,"autoclear":false}')" = 200 ]
umount /run/mnt
say 'and of one that nobody claims'
nbdlosetup -b 4096 /dev/nbd0
[ "$(patch '{"offset":4096}')" = 200 ]
nbdlosetup -d /dev/nbd0
`;

/** With an OpenRC that says it: systemd does not run in the guest. */
export const MACHINE_ENDS = `
export NBDLOOP_CONTROL=/run/second.sock
second() {
  "$NODE" "$NBDLOOP_PROGRAMS/nbdloopd.js" --listen none --control /run/second.sock --unix /run/second.nbd \\
    --state-dir /run/second --handover >/run/second.log 2>&1 &
  pid=$!
  wait_until eval '[[ $(</run/second.log) = *"control socket"* ]]'
}
truncate -s 64M /run/disk.img /run/idle.img
mkfs.ext4 -q -F /run/disk.img
second
[ "$(nbdlosetup -f --show /run/disk.img)" = /dev/nbd0 ]
[ "$(nbdlosetup -f --show /run/idle.img)" = /dev/nbd1 ]
say 'a stop leaves them for the next daemon'
kill -TERM $pid
wait $pid
is_attached nbd0
second
is_attached nbd0
mount /dev/nbd0 /run/mnt
echo hello >/run/mnt/file
say 'the machine goes down'
mkdir -p /run/openrc
echo shutdown >/run/openrc/softlevel
kill -TERM $pid
wait $pid
rm -r /run/openrc
grep -q 'the machine goes down and the device is in use' /run/second.log
wait_until is_free nbd0
is_free nbd1
umount /run/mnt || umount -l /run/mnt
debugfs -R 'cat file' /run/disk.img 2>/dev/null | grep -q hello
say 'what was mounted had been written'
`;
