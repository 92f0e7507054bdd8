import t from 'tap';
import { planMount } from '../../../driver/cli/mount-options.js';
import { mountsOf } from '../../../driver/cli/mounts.js';

const plan = (options: string, rest: object = {}) =>
  planMount({ file: '/a.img', directory: '/mnt', options, ...rest });

t.test('options of a mount are the device’s, or go to mount(8)', async (t) => {
  t.strictSame(plan('rw,loop,noatime,offset=1M,sizelimit=0x800,x-systemd.automount,_netdev'), {
    config: { file: '/a.img', offset: '1048576', sizeLimit: '2048' },
    attach: {},
    partition: undefined,
    control: undefined,
    mountArguments: ['-o', 'rw,noatime,x-systemd.automount,_netdev'],
  });
  t.match(plan('ro,fstype=ext4,loop=/dev/loop3'), {
    config: { readOnly: true },
    mountArguments: ['-t', 'ext4', '-o', 'ro'],
  });
  t.match(plan('fstype=xfs', { type: 'ext4', readOnly: true }), {
    config: { readOnly: true },
    mountArguments: ['-t', 'ext4', '-r'],
  });
  t.strictSame(plan('connections=4,timeout=30,dead-timeout=60,name=db,description=a b,control=/c'), {
    config: { file: '/a.img', exportName: 'db', description: 'a b' },
    attach: { connections: 4, timeout: 30, deadTimeout: 60 },
    partition: undefined,
    control: '/c',
    mountArguments: [],
  });
  t.match(plan('partition=2,sector-size=4K,direct-io,loop-ref=x'), {
    config: { partscan: true, blockSize: 4096, directIo: true, reference: 'x' },
    partition: 2,
  });
  t.equal(plan('direct-io=off').config.directIo, undefined);
  for (const wrong of ['offset=x', 'partition=', 'connections=two', 'timeout=-1']) {
    t.throws(() => plan(wrong), { errno: 'EINVAL', message: /^the option / }, wrong);
  }
});

t.test('the mount table is read as the kernel writes it', async (t) => {
  const lines = [
    '36 35 43:0 / /mnt rw,noatime shared:1 master:2 - ext4 /dev/nbd0 rw',
    '37 35 43:1 / /with\\040blank\\134 rw - ext4 /dev/nbd1 rw',
    '38 35 0:5 / /mü rw - tmpfs none rw',
    '',
  ];
  t.strictSame(mountsOf(Buffer.from(lines.join('\n')).toString('latin1')), [
    { target: '/mnt', source: '/dev/nbd0' },
    { target: '/with blank\\', source: '/dev/nbd1' },
    { target: '/mü', source: 'none' },
  ]);
});
