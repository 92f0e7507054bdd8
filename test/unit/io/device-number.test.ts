import { statSync } from 'node:fs';
import t from 'tap';
import { blockDeviceOf, nbdIndexOf } from '../../../driver/io/device-number.js';

/** A device number as glibc's gnu_dev_makedev puts it together. */
const makedev = (major: number, minor: number): bigint => {
  const [a, b] = [BigInt(major), BigInt(minor)];
  return ((a & 0xfffn) << 8n) | ((a & ~0xfffn) << 32n) | (b & 0xffn) | ((b & ~0xffn) << 12n);
};

t.test('major and minor come apart as they were put together', async (t) => {
  for (const major of [0, 1, 43, 255, 4095, 4096, 2 ** 32 - 1]) {
    for (const minor of [0, 1, 255, 256, 511, 2 ** 20 - 1, 2 ** 32 - 1]) {
      t.same(blockDeviceOf(makedev(major, minor)), { major, minor }, `${major}:${minor}`);
    }
  }
  t.same(blockDeviceOf(statSync('/dev/null', { bigint: true }).rdev), { major: 1, minor: 3 });
});

t.test('only /dev/nbdX has an index, which its partitions share', async (t) => {
  t.equal(nbdIndexOf(makedev(43, 0)), 0);
  t.equal(nbdIndexOf(makedev(43, 1)), 0, 'the first partition of /dev/nbd0');
  t.equal(nbdIndexOf(makedev(7, 0)), undefined, '/dev/loop0');
  t.equal(nbdIndexOf(makedev(253, 0)), undefined);
});
