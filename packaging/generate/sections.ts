/** What the man pages say beyond the options. Plain paragraphs; indented lines are examples. */

import { LOSETUP_COLUMNS, OWN_COLUMNS } from '../../driver/cli/losetup-columns.js';
import { MOUNT_OPTIONS } from '../../driver/cli/mount-options.js';

export interface Section {
  readonly title: string;
  readonly paragraphs: readonly string[];
}

const FINDING_THE_DAEMON: Section = {
  title: 'ENVIRONMENT',
  paragraphs: [
    'NBDLOOP_CONTROL is the control socket of the daemon when --control is not given. Without both it is ' +
      '/run/nbdloop/control.sock for root, else $XDG_RUNTIME_DIR/nbdloop/control.sock.',
  ],
};

const EXIT_STATUS: Section = {
  title: 'EXIT STATUS',
  paragraphs: ['0, or 1 after an error, which is one sentence with the name of its errno on standard error.'],
};

const DEVICES: Section = {
  title: 'DEVICES',
  paragraphs: [
    'Device N is the export loopN and, attached to a kernel, /dev/nbdN. A device is named loopN, N, /dev/nbdN, by the ' +
      'name that its export was given, or by the NBD URI that --show printed. /dev/loopN is a device of the kernel and is refused.',
  ],
};

const FSTAB: Section = {
  title: 'FSTAB',
  paragraphs: [
    'A line of /etc/fstab, where nbdloopd.service is enabled (with nofail the machine boots without the file, too):',
    '    /srv/disk.img /mnt nbdloop fstype=ext4,_netdev,nofail 0 0',
    '_netdev has systemd mount it when the daemon runs and unmount it before that ends. What is mounted by hand is marked so by ' +
      'mount.nbdloop.',
  ],
};

export const SECTIONS: Readonly<Record<string, readonly Section[]>> = {
  nbdloopd: [
    {
      title: 'SIGNALS',
      paragraphs: [
        'SIGTERM and SIGINT end the daemon within 5 seconds: no connection is accepted any more, requests in flight ' +
          'finish, connections end. A second signal ends it at once.',
      ],
    },
    {
      title: 'FILES',
      paragraphs: [
        'The run directory holds the sockets control.sock and nbd.sock, each with a lock beside it: /run/nbdloop for ' +
          'root, else $XDG_RUNTIME_DIR/nbdloop, else /tmp/nbdloop-UID.',
      ],
    },
    { ...EXIT_STATUS, paragraphs: ['0 after a signal, else 1 with one sentence on standard error.'] },
    {
      title: 'EXAMPLES',
      paragraphs: [
        'Serve a file on the loopback address and a Unix socket:',
        '    nbdloopd --device /srv/disk.img',
        'Serve over the Unix socket alone:',
        '    nbdloopd --listen none --device /srv/disk.img',
      ],
    },
  ],
  nbdlosetup: [
    DEVICES,
    {
      title: 'COLUMNS',
      paragraphs: [...LOSETUP_COLUMNS, ...OWN_COLUMNS].map(({ name, help }) => `${name}: ${help}.`),
    },
    {
      title: 'SIZES',
      paragraphs: [
        'Bytes in decimal, hexadecimal (0x) or octal (0) digits, followed by K, M, G, T, P, E or KiB, MiB, ... for ' +
          'powers of 1024, or KB, MB, ... for powers of 1000.',
      ],
    },
    FINDING_THE_DAEMON,
    EXIT_STATUS,
    {
      title: 'EXAMPLES',
      paragraphs: [
        'Bind a file to a free device and print the device:',
        '    nbdlosetup -f --show disk.img',
        'List all devices as JSON:',
        '    nbdlosetup -J',
        'Let go of the file, now or when the last client has gone:',
        '    nbdlosetup -d loop0',
      ],
    },
  ],
  'mount.nbdloop': [
    {
      title: 'MOUNT OPTIONS',
      paragraphs: [
        'These mean the device, and everything else is handed to mount(8), x- options, nofail and _netdev among it:',
        ...Object.entries(MOUNT_OPTIONS).map(([name, help]) => `${name}: ${help}.`),
      ],
    },
    {
      title: 'NOTES',
      paragraphs: [
        'A file whose very range a device serves already is mounted from that one. A file that is mounted in the directory ' +
          'already is left as it is, so that mount -a may be repeated. The device goes with its last close, by whomever.',
        'mount(8) looks for its helpers in /sbin: packaging/install puts links there.',
      ],
    },
    FSTAB,
    FINDING_THE_DAEMON,
    { ...EXIT_STATUS, paragraphs: ['That of mount(8): 0, 1 for wrong use, 32 where the mount failed.'] },
    {
      title: 'EXAMPLES',
      paragraphs: [
        'Mount an image, and its second partition read-only:',
        '    mount -t nbdloop -o fstype=ext4 disk.img /mnt',
        '    mount -t nbdloop -o ro,partition=2 disk.img /mnt',
      ],
    },
  ],
  'umount.nbdloop': [FINDING_THE_DAEMON, { ...EXIT_STATUS, paragraphs: ['That of umount(8).'] }],
  nbdloop: [
    DEVICES,
    FINDING_THE_DAEMON,
    EXIT_STATUS,
    {
      title: 'EXAMPLES',
      paragraphs: [
        'Serve a file from a daemon in the foreground:',
        '    nbdloop serve disk.img --listen none',
        'Attach its device to the kernel:',
        '    nbdloop attach loop0',
        'Make a device of an export of another host, with a second address for when the first is gone:',
        '    nbdloop attach nbd://a/disk,nbd://b/disk',
        'Draw the order in which the locks were taken:',
        '    nbdloop lockdep --dot | dot -Tsvg > lockdep.svg',
      ],
    },
  ],
};
