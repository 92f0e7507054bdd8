/** Power cuts under a mounted ext4: what was fsynced is whole, and the file system mends itself. */
import t from 'tap';
import { skipUnlessQemu } from './guest-available.js';
import { type GuestTest, guestTests } from './guest-tests.js';

t.setTimeout(1_600_000);

/** How many cuts; each takes seconds in an emulated machine. */
const CUTS = Number(process.env.NBDLOOP_CUTS ?? 2);
const FIRST_SEED = Number(process.env.NBDLOOP_SEED ?? 1);

const cutsOf = (data: 'ordered' | 'writeback'): GuestTest => ({
  title: `ext4 with data=${data}: ${CUTS} cuts from seed ${FIRST_SEED} on`,
  script: `
truncate -s 48M /run/cut.img
mkfs.ext4 -q -F /run/cut.img
attached /run/cut.img '"volatileCache":true'
cut=0
while [ $cut -lt ${CUTS} ]; do
  seed=$((${FIRST_SEED} + cut))
  mount -o data=${data} $node /run/mnt
  # What the cuts before have left.
  for file in /run/mnt/kept.*; do
    [ ! -e $file ] || [ "$(sum <$file)" = "$(cat /run/sum.\${file##*.})" ]
  done
  dd if=/dev/urandom of=/run/mnt/kept.$cut bs=4k count=40 conv=fsync status=none
  sum </run/mnt/kept.$cut >/run/sum.$cut
  dd if=/dev/urandom of=/run/mnt/lost.$cut bs=4k count=60 oflag=direct status=none
  mv /run/mnt/lost.$cut /run/mnt/moved.$cut
  api POST /devices/$number/power-cut '{"keep":"random","tear":true,"seed":'$seed'}'
  echo
  umount -l /run/mnt
  wait_until is_free nbd$number
  status=0
  e2fsck -fy /run/cut.img >/run/fsck.log 2>&1 || status=$?
  [ $status -lt 4 ] || { cat /run/fsck.log; exit 1; }
  cut=$((cut + 1))
  api POST /devices/$number/attach '{}' >/run/answer
done
mount $node /run/mnt
[ "$(sum </run/mnt/kept.0)" = "$(cat /run/sum.0)" ]
umount /run/mnt
api DELETE /devices/$number/backing >/run/answer
wait_until all_free
rm /run/cut.img
`,
  provoked: [/nbd\d/i, /EXT4-fs|Buffer I\/O|JBD2|Aborting journal|I\/O error/i],
});

const skip = await skipUnlessQemu('mkfs.ext4', 'e2fsck');
t.test('power cuts', { skip }, async (t) => {
  await guestTests(t, [cutsOf('ordered'), cutsOf('writeback')], {
    before: 'start_daemon',
    after: 'kill -TERM $daemon; wait $daemon',
  });
});
