#!/bin/bash
# First process of a node, in namespaces of its own: makes its places, then reaps. $1: the lab's directory, $2: the node's name.
set -e
lab=$1
node=$2
hostname "$node"
mount --make-rprivate /
for place in /run /dev/shm /var/log /var/lib/corosync /var/lib/pacemaker /mnt; do
  kept=
  case $place in /var/lib/*)
    kept=$(mktemp -d "$lab/kept.XXXXXX")
    cp -a "$place/." "$kept/"
    ;;
  esac
  mount -t tmpfs -o mode=755,size=256m tmpfs "$place"
  if [ -n "$kept" ]; then
    cp -a "$kept/." "$place/"
    chown --reference="$kept" "$place"
    rm -rf "$kept"
  fi
done
chmod 1777 /dev/shm
# What outlives a power cut: the state of glusterd, and the brick.
disk=$lab/disk/$node
if [ ! -d "$disk/glusterd" ]; then
  mkdir -p "$disk/brick"
  cp -a /var/lib/glusterd "$disk/glusterd"
  rm -f "$disk/glusterd/glusterd.info"
fi
mount --bind "$disk/glusterd" /var/lib/glusterd
install -o hacluster -g haclient -m 600 "$lab/cib.xml" /var/lib/pacemaker/cib/cib.xml
mkdir -p /run/lock /run/crm /run/resource-agents /run/gluster /var/log/cluster /var/log/pacemaker /var/log/glusterfs/bricks \
  /var/log/corosync /mnt/images
chown hacluster:haclient /run/crm /var/log/pacemaker
chmod 750 /run/crm
chmod 770 /var/log/pacemaker
mount --bind "$lab/etc" /etc/corosync
# The fence agent and the resource agent, seen in the nodes only.
mount -t overlay overlay -o "ro,lowerdir=$lab/sbin:/usr/sbin" /usr/sbin
mount -t overlay overlay -o "ro,lowerdir=$lab/ocf/resource.d:/usr/lib/ocf/resource.d" /usr/lib/ocf/resource.d
# Pacemaker's panic would reboot the machine that runs the tests.
if [ -e /proc/sysrq-trigger ]; then mount --bind /dev/null /proc/sysrq-trigger; fi
trap : TERM INT HUP
touch /run/node-ready
while :; do
  sleep 3600 &
  wait $!
done
