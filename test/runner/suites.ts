/** The suites of the test run, and the programs each one wants. */

export interface Suite {
  readonly name: string;
  /** Seconds a test file may take before it counts as hung, unless it sets its own limit. */
  readonly fileTimeout: number;
  /** Program -> Debian package that brings it. */
  readonly tools: Readonly<Record<string, string>>;
  /** It runs where it is named only: more than there is room for in `npm test`. */
  readonly isOnDemand?: true;
}

const UNIT = { openssl: 'openssl', man: 'man-db', mandoc: 'mandoc', zsh: 'zsh', fish: 'fish' };

const CLIENTS = {
  nbdinfo: 'libnbd-bin',
  nbdcopy: 'libnbd-bin',
  'qemu-img': 'qemu-utils',
  'qemu-io': 'qemu-utils',
  fio: 'fio',
  'nbd-client': 'nbd-client',
  'nbd-server': 'nbd-server',
  nbdkit: 'nbdkit',
  'mkfs.ext4': 'e2fsprogs',
  'mkfs.xfs': 'xfsprogs',
  'mkfs.btrfs': 'btrfs-progs',
  modprobe: 'kmod',
  openssl: 'openssl',
  python3: 'python3-minimal',
  'systemd-analyze': 'systemd',
  'systemd-socket-activate': 'systemd',
  strace: 'strace',
  certtool: 'gnutls-bin',
  setpriv: 'util-linux',
  unshare: 'util-linux',
  losetup: 'mount',
  buildah: 'buildah',
  gcc: 'gcc',
  'ocf-tester': 'resource-agents',
  xmllint: 'libxml2-utils',
  nbdfuse: 'libnbd-bin',
  sqlite3: 'sqlite3',
};

const MACHINES = {
  'qemu-system-x86_64': 'qemu-system-x86',
  cpio: 'cpio',
  xz: 'xz-utils',
  depmod: 'kmod',
  'dpkg-deb': 'dpkg',
  curl: 'curl',
  'mkfs.ext4': 'e2fsprogs',
  'mkfs.xfs': 'xfsprogs',
  'nbd-client': 'nbd-client',
  nbdinfo: 'libnbd-bin',
  'systemd-socket-activate': 'systemd',
  nbdkit: 'nbdkit',
  fio: 'fio',
  sfdisk: 'fdisk',
  sqlite3: 'sqlite3',
  dmsetup: 'dmsetup',
};

const CLUSTER = {
  corosync: 'corosync',
  pacemakerd: 'pacemaker',
  crm_resource: 'pacemaker-cli-utils',
  glusterd: 'glusterfs-server',
  'mount.glusterfs': 'glusterfs-client',
  nft: 'nftables',
  ip: 'iproute2',
  'ocf-tester': 'resource-agents',
  unshare: 'util-linux',
  pkill: 'procps',
};

/** A browser, and what reads what Prometheus is given. */
const PAGE = { chromium: 'chromium', promtool: 'prometheus' };

export const SUITES: readonly Suite[] = [
  { name: 'unit', fileTimeout: 120, tools: UNIT },
  { name: 'model', fileTimeout: 300, tools: { spin: 'spin', gcc: 'gcc' } },
  { name: 'interop', fileTimeout: 300, tools: CLIENTS },
  { name: 'page', fileTimeout: 200, tools: PAGE },
  { name: 'stress', fileTimeout: 300, tools: { fio: 'fio' } },
  { name: 'fuzz', fileTimeout: 300, tools: { openssl: 'openssl' } },
  { name: 'cluster', fileTimeout: 400, tools: CLUSTER },
  { name: 'vm', fileTimeout: 900, tools: MACHINES },
  { name: 'long', fileTimeout: 1800, tools: MACHINES, isOnDemand: true },
  { name: 'nodes', fileTimeout: 600, tools: { ...UNIT, ...CLIENTS, ...MACHINES } },
];

/** Files that boot guests, see lanes.ts. */
export const GUESTS = /^dist\/test\/(vm|long|nodes)\//;

/** Packages that bring no program of their own to look for, by suite. */
export const LIBRARIES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  interop: {
    'python3-libnbd': '/usr/lib/python3/dist-packages/nbd.py',
    'libc6-dev': '/usr/include/stdlib.h',
    'libfuse3-dev': '/usr/include/fuse3/fuse.h',
  },
  model: { 'libc6-dev': '/usr/include/stdlib.h' },
};
