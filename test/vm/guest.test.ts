import t from 'tap';
import { makeSparseFile, TempDir } from '../helpers/temp.js';
import { runGuest } from './guest.js';
import { skipUnlessGuest, skipUnlessQemu } from './guest-available.js';
import { moduleList } from './initrd.js';
import { KERNELS } from './kernel-image.js';
import { kernelComplaints } from './kernel-log.js';

t.setTimeout(1_600_000);

/** Says what the guest is made of; each line is looked at. */
const SCRIPT = `
echo "release $(uname -r)"
echo "processors $(nproc)"
read -r _ kib _ </proc/meminfo
echo "memory $((kib >> 10)) MiB"
echo "nbds_max $(cat /sys/module/nbd/parameters/nbds_max), $(ls -d /sys/block/nbd* | wc -l) nodes"
echo "max_part $(cat /sys/module/nbd/parameters/max_part)"
echo "max_loop $(cat /sys/module/loop/parameters/max_loop)"
echo "vfat $(grep -cw vfat /proc/filesystems)"
echo "vdb $(blockdev --getsize64 /dev/vdb)"
if echo x >/dev/vda; then exit 1; fi
echo "ro $(cat /sys/block/vda/ro)"
node -p '"node " + process.version'
echo "$GREETING"
busybox true
exit 7
`;

for (const kernel of KERNELS) {
  const skip = await skipUnlessGuest({ version: kernel });
  t.test(`a guest of ${kernel} is what was asked for, and hands out its exit status`, { skip }, async (t) => {
    using shared = new TempDir();
    const guest = await runGuest(shared, {
      kernel,
      script: SCRIPT,
      memoryMiB: 400,
      nbd: { nbdsMax: 5, maxPart: 7 },
      modules: ['vfat'],
      disks: [
        { file: makeSparseFile(shared.file('one'), 1 << 20), drive: { readonly: 'on' } },
        {
          file: makeSparseFile(shared.file('two, and'), 3 << 20),
          drive: { 'throttling.bps-write': 1_000_000 },
        },
      ],
      environment: { GREETING: "it's up" },
    });
    t.equal(guest.status, 7, 'exit status', { console: guest.console });
    const said = (line: string | RegExp) => t.match(guest.console, line, String(line));
    said(new RegExp(`^release ${kernel.replace('.', '\\.')}\\.`, 'm'));
    said('processors 2');
    said(/^memory 3[0-9]{2} MiB$/m);
    said('nbds_max 5, 5 nodes');
    said('max_part 7');
    said('max_loop 8');
    said('vfat 1');
    said(`vdb ${3 << 20}`);
    said('ro 1');
    said(`node ${process.version}`);
    said("it's up");
    t.match(guest.kernelLog, 'Linux version');
    t.strictSame(kernelComplaints(guest.kernelLog), []);
  });
}

const skip = await skipUnlessQemu();

t.test('a guest that does not end is killed and has failed', { skip }, async (t) => {
  using shared = new TempDir();
  const guest = await runGuest(shared, { script: 'sleep 1000', timeoutMs: 8000 });
  t.equal(guest.status, undefined);
  t.match(guest.console, 'took too long');
});

t.test('a guest whose kernel panics has failed, and says why', { skip }, async (t) => {
  using shared = new TempDir();
  const guest = await runGuest(shared, { script: 'echo c >/proc/sysrq-trigger' });
  t.equal(guest.status, undefined);
  t.not(kernelComplaints(guest.kernelLog).length, 0);
});

t.test('a module is found by its name, whatever its file is called, and no parameter is lost', async (t) => {
  t.equal(
    moduleList({
      modules: ['kernel/drivers/block/nbd.ko.xz', 'kernel/net/9p/9pnet-virtio.ko'],
      parameters: { nbd: 'nbds_max=4' },
    }),
    'nbd.ko nbds_max=4\n9pnet_virtio.ko \n',
  );
  t.throws(
    () => moduleList({ modules: ['kernel/drivers/block/loop.ko'], parameters: { nbd: 'nbds_max=4' } }),
    /parameters for nbd/,
  );
});

t.test('the kernel log is searched for complaints that no test provoked', async (t) => {
  const log = [
    '[    1.0] loop: module loaded',
    '[    2.0] I/O error, dev nbd0, sector 0 op 0x0:(READ)',
    '[    3.0] INFO: task fio:77 blocked for more than 30 seconds.',
  ].join('\n');
  t.equal(kernelComplaints(log).length, 2);
  t.strictSame(kernelComplaints(log, [/dev nbd0, sector 0/]), [
    '[    3.0] INFO: task fio:77 blocked for more than 30 seconds.',
  ]);
});
