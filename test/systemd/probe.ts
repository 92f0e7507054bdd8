/** What runs in the machine, at the end of each of its two boots. */

export const FSTAB = `
/srv/a.img /mnt/a nbdloop fstype=ext4,_netdev,x-systemd.mount-timeout=900 0 0
/dev/disk/by-loop-ref/b /mnt/b ext4 _netdev,x-systemd.requires=nbdloop@b.service,x-systemd.device-timeout=900 0 0
`;

export const PROBE_UNIT = `
[Unit]
After=multi-user.target remote-fs.target
[Service]
ExecStart=/usr/local/bin/probe
StandardOutput=tty
StandardError=inherit
`;

/** The last thing that a boot says: from here on the machine goes down. */
export const GOES_DOWN = 'probe: goes down';

/**
 * Each \`check\` prints "probe: ok WHAT", or "not ok". The first boot ends with mounts that systemd can unmount, and a reboot; the
 * second with one that a process which nobody ends keeps busy, and a power-off.
 */
export const PROBE = `#!/bin/bash
n=$(($(cat /srv/boot 2>/dev/null || echo 0) + 1))
echo $n >/srv/boot
checks=0
check() { local what=$1; shift; checks=$((checks + 1)); if "$@" >/run/answer 2>&1; then echo "probe: ok $what"; else echo "probe: not ok $what"; cat /run/answer; fi; }
echo "probe: boot $n"
check 'everything has started' systemctl is-active nbdloopd nbdloop@b mnt-a.mount mnt-b.mount
check 'a is a device of ours' grep -q '^/dev/nbd[0-9]* /mnt/a ext4 rw' /proc/mounts
check 'b is a device of ours' grep -q '^/dev/nbd[0-9]* /mnt/b ext4 rw' /proc/mounts
if [ $n = 2 ]; then
  for m in a b; do check "$m holds what was written before the reboot" md5sum -c /mnt/$m/sum; done
fi
check 'reload' systemctl reload nbdloopd
for m in a b; do
  dd if=/dev/urandom of=/mnt/$m/data bs=1M count=4 status=none
  md5sum /mnt/$m/data >/mnt/$m/sum
done
if [ $n = 1 ]; then
  check 'restart, with everything mounted' systemctl restart nbdloopd
  for m in a b; do check "$m after the restart" md5sum -c /mnt/$m/sum; done
  c=$(nbdlosetup -f --show /srv/c.img)
  check 'c, mounted by hand' mount $c /mnt/c
  printf 'label: dos\\n,16M\\n' | sfdisk -q /srv/d.img
  d=$(nbdlosetup -P -f --show /srv/d.img)
  mkfs.ext4 -q -F \${d}p1
  check 'd, a partition mounted by hand' mount \${d}p1 /mnt/d
  for m in c d; do dd if=/dev/urandom of=/mnt/$m/data bs=1M count=4 status=none; md5sum /mnt/$m/data >/mnt/$m/sum; done
  udevadm settle
  end=reboot
else
  sync
  systemd-run --quiet -p KillMode=none -p SendSIGKILL=no bash -c 'cd /mnt/a; trap "" TERM HUP; while :; do date >now; sleep 0.2; done'
  end=poweroff
fi
dmesg --clear
echo "probe: $checks checks"
echo '${GOES_DOWN}'
systemctl --no-block $end
`;
