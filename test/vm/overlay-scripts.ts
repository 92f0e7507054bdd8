/** Overlays that the kernel has mounted. */

/**
 * An ext4 on an attached overlay under fio: a snapshot as it is, and one with --fsfreeze. Each is attached anew, over a temporary
 * delta. What was fsynced before is in both; the frozen one is clean as it is, the other when its journal has been replayed.
 */
export const SNAPSHOTS = `
cd /run
truncate -s 96M gold.img
mkfs.ext4 -q -F gold.img
attached /run/gold.img '"overlay":{"delta":"/run/top.delta"}'
top=$number
mount $node /run/mnt
dd if=/dev/urandom of=/run/mnt/kept bs=64k count=20 conv=fsync status=none
sum=$(sha256sum </run/mnt/kept)
fio --name=load --directory=/run/mnt --rw=randwrite --bs=4k --size=8m --numjobs=2 --fsync=16 --ioengine=psync \\
  --time_based --runtime=1000 --eta=never >/run/fio.log 2>&1 &
fio=$!
written() { awk '{ print $7 }' /sys/block/nbd$top/stat; }
has_written() { [ $(written) -gt $1 ]; }
goes_on() { wait_until has_written $(($(written) + 2000)); }
goes_on
api POST /snapshots "{\\"devices\\":[{\\"number\\":$top,\\"file\\":\\"/run/crash.snapshot\\"}]}"
goes_on
nbdloop snapshot loop$top /run/frozen.snapshot --fsfreeze
goes_on
kill -TERM $fio
wait $fio || true
umount /run/mnt
e2fsck -fn $node
bound_again() {
  attached /run/$1.snapshot '"overlay":{"temporary":true}'
  dumpe2fs -h $node 2>/dev/null | grep '^Filesystem features' >/run/features
}
bound_again frozen
if grep -q needs_recovery /run/features; then exit 1; fi
e2fsck -fn $node
mount $node /run/mnt
[ "$(sha256sum </run/mnt/kept)" = "$sum" ]
umount /run/mnt
bound_again crash
grep needs_recovery /run/features
mount $node /run/mnt
[ "$(sha256sum </run/mnt/kept)" = "$sum" ]
umount /run/mnt
e2fsck -fn $node
for pid in /sys/block/nbd*/pid; do
  [ ! -e $pid ] || { number=\${pid#/sys/block/nbd}; api DELETE /devices/\${number%/pid}/backing; }
done
wait_until all_free
nbdloop delta check /run/top.delta
rm gold.img top.delta *.snapshot
`;
