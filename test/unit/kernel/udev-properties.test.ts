import { readFileSync } from 'node:fs';
import t from 'tap';
import { udevProperties } from '../../../driver/kernel/udev-properties.js';

t.test('what udev finds out of a loop device by itself is written down for ours', async (t) => {
  const device = { backingInode: 2n ** 63n + 1n, backingDevice: (0x103n << 8n) | 0x12n, reference: null };
  t.equal(
    udevProperties(device),
    'ID_LOOP_BACKING_DEVICE=259:18\nID_LOOP_BACKING_INODE=9223372036854775809\n',
  );
  const line = (reference: string): string | undefined =>
    udevProperties({ ...device, reference }).split('\n')[2];
  t.equal(line('web-1.2_#+:=@'), 'ID_LOOP_BACKING_FILENAME_ENC=web-1.2_#+:=@');
  t.equal(line('/srv/a b\\'), 'ID_LOOP_BACKING_FILENAME_ENC=\\x2fsrv\\x2fa\\x20b\\x5c');
  t.equal(line('a\nB=1'), 'ID_LOOP_BACKING_FILENAME_ENC=a\\x0aB=1', 'a line stays one');
  const utf8 = udevProperties({ ...device, reference: 'ü' });
  t.ok(Buffer.from(utf8, 'latin1').toString('utf8').endsWith('=ü\n'));
  t.equal(line('\udcff'), 'ID_LOOP_BACKING_FILENAME_ENC=\\xff', 'bytes that are no UTF-8');
  t.equal(line(''), '');
  t.equal(udevProperties({ ...device, backingInode: null }), '');
});

t.test('the rules make the links that the kernel’s loop devices have', async (t) => {
  const rules = readFileSync('packaging/udev/61-nbdloop.rules', 'utf8');
  for (const link of [
    'disk/by-loop-inode/$env{ID_LOOP_BACKING_DEVICE}-$env{ID_LOOP_BACKING_INODE}$env{.NBDLOOP_PART}',
    'disk/by-loop-ref/$env{ID_LOOP_BACKING_FILENAME_ENC}$env{.NBDLOOP_PART}',
  ]) {
    t.ok(rules.includes(`SYMLINK+="${link}"`), link);
  }
  t.match(rules, 'IMPORT{file}="/run/nbdloop/udev/%k"');
});
