/** What a guest does: a file system on a device of the cluster's, under fio, for as many rounds as it is told. */
import { FLOATING } from '../lab/configuration.js';

/** Of the guest, on the bridge. */
const OWN = '10.9.0.8';
/** Said when the file system is there, and when a round has come to its end. */
export const READY = 'the file system is mounted';
export const roundIsOver = (round: number | string): string => `round ${round} is over`;
/** Files of the shared directory by which a round is begun, and ended. */
export const begins = (round: number | string): string => `begin.${round}`;
export const isEnough = (round: number | string): string => `enough.${round}`;

/** Each run of fio writes a file of random data, with an fsync after every 16th write, and reads all of it back. */
export const guestScript = (device: string, rounds: number): string => `
ip link set lo up
ip addr add ${OWN}/24 dev eth0
ip link set eth0 up
start_daemon
node=$(nbdloop attach nbd://${FLOATING}/${device} --dead-timeout 300)
is_attached \${node#/dev/}
mkfs.ext4 -q $node
mount $node /run/mnt
say '${READY}'
for round in $(seq ${rounds}); do
  while [ ! -e "$SHARED/${begins('$round')}" ]; do pause; done
  runs=0
  until [ -e "$SHARED/${isEnough('$round')}" ]; do
    runs=$((runs + 1))
    fio --name=verify --directory=/run/mnt --rw=randwrite --bs=4k --size=4m --fsync=16 --rate_iops=100 --ioengine=psync \\
      --verify=crc32c --verify_fatal=1 --verify_state_save=0 --randseed=$round$runs --eta=never >/run/fio.log 2>&1 ||
      { cat /run/fio.log; exit 1; }
    say "fio: $(grep -o 'err= *[0-9]*' /run/fio.log | head -n 1), fsync $(grep -o ' sync .*max=[^,]*' /run/fio.log | head -n 1)"
  done
  sync
  say "$runs runs of fio; ${roundIsOver('$round')}"
done
umount /run/mnt
fsck.ext4 -f -n $node
nbdloop status
nbdloop detach $node
stop_daemon
`;
