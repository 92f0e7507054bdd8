/** What a guest does with exports of another host: a network namespace of its own, behind a cable that can be pulled. */

/** Before the tests: 10.9.0.2 and 10.9.0.3 are the other host. */
export const FAR_HOST = `
mount -t tmpfs tmpfs /run/netns 2>/dev/null || { mkdir -p /run/netns; mount -t tmpfs tmpfs /run/netns; }
ip link set lo up
ip netns add far
ip link add near type veth peer name away netns far
ip addr add 10.9.0.1/24 dev near
ip link set near up
ip -n far addr add 10.9.0.2/24 dev away
ip -n far addr add 10.9.0.3/24 dev away
ip -n far link set away up
ip -n far link set lo up
# far_serve ADDRESS FILE [OPTIONS]: nbdkit; its process is $far
far_serve() {
  local address=$1 file=$2
  shift 2
  # Not \`ip netns exec\`, whose copy of the mounts would be a user of the device.
  nsenter --net=/run/netns/far nbdkit -f -i $address "$@" file $file &
  far=$!
  wait_until far_listens $address
}
far_listens() { (exec 3<>/dev/tcp/$1/10809) 2>/dev/null; }
far_dies() {
  kill -KILL $far
  wait $far || true
}
api() {
  local method=$1 path=$2
  shift 2
  curl -sS --fail-with-body -X $method --unix-socket "$NBDLOOP_CONTROL" "$@" "http://daemon$path"
}
remote_is() { [ "$(api GET /remotes/$1 | grep -o '"state":"[a-z-]*"' | cut -d'"' -f4)" = $2 ]; }
attach_remote() { # JSON: prints the number; what is wrong goes to the log
  api POST /remotes -H 'content-type: application/json' -d "$1" | tee -a /run/daemon.log | grep -o '"number":[0-9]*' | cut -d: -f2
}
`;

/** A file on the device goes through a server that is killed and one that is cut off, and is right at the end. */
export const serverGoesAndComes = (cutSeconds: number): string => `
start_daemon
truncate -s 48M /run/far.img /run/here.img
nbdlosetup --no-attach -f /run/here.img
far_serve 10.9.0.2 /run/far.img
[ "$(nbdloop attach nbd://10.9.0.2)" = /dev/nbd1 ]
is_attached nbd1
[ "$(sectors nbd1)" = $((48 << 11)) ]
nbdloop status nbd1 | grep -q 'nbd://10.9.0.2 attached'
say 'a new device does not get its number, and it is no export'
[ "$(api POST /devices -H 'content-type: application/json' -d '{}' | grep -o '"number":[0-9]*')" = '"number":2' ]
if api GET /devices/1 >/run/answer; then exit 1; fi
grep -q 'nbd://10.9.0.2' /run/answer
mkfs.ext4 -q /dev/nbd1
mount /dev/nbd1 /run/mnt
fio --name=verify --directory=/run/mnt --rw=randwrite --bs=4k --size=16m --fsync=32 --rate_iops=150 --ioengine=psync \\
  --verify=crc32c --verify_fatal=1 --verify_state_save=0 --eta=never >/run/fio.log 2>&1 &
fio=$!
pause; pause; pause; pause; pause; pause; pause; pause; pause; pause
say 'the server is killed'
far_dies
wait_until remote_is 1 waiting
far_serve 10.9.0.2 /run/far.img
wait_until remote_is 1 attached
say 'the cable is pulled'
ip -n far link set away down
cut_until=$((SECONDS + ${cutSeconds}))
wait_until remote_is 1 waiting
while [ $SECONDS -lt $cut_until ]; do pause; done
remote_is 1 waiting || remote_is 1 negotiating
ip -n far link set away up
wait_until remote_is 1 attached
say 'a user keeps it from being detached'
if nbdloop detach nbd1 2>/run/error; then exit 1; fi
grep -q 'mounted on /run/mnt' /run/error
remote_is 1 attached
wait $fio || { cat /run/fio.log; exit 1; }
umount /run/mnt
fsck.ext4 -f -n /dev/nbd1
nbdloop detach nbd://10.9.0.2
is_free nbd1
far_dies
fsck.ext4 -f -n /run/far.img
api DELETE /devices/2
nbdlosetup -d loop0
stop_daemon
`;

/** The second address is taken when the first is gone; another export is refused there, and waited for. */
export const SECOND_ADDRESS = `
start_daemon
truncate -s 16M /run/far.img
truncate -s 17M /run/other.img
far_serve 10.9.0.2 /run/far.img
number=$(attach_remote '{"uris":["nbd://10.9.0.2","nbd://10.9.0.3"],"deadTimeout":200}')
node=/dev/nbd$number
dd if=/dev/urandom of=/run/random bs=1M count=4 status=none
dd if=/run/random of=$node bs=1M oflag=direct status=none
far_dies
far_serve 10.9.0.3 /run/other.img
say 'another export is there'
wait_until remote_is $number waiting
api GET /remotes/$number | grep -q '"errno":"ESTALE"'
api GET /remotes/$number | grep -q 'another export is there: it has 17825792 bytes, and had 16777216'
dd if=$node of=/run/read bs=1M count=4 iflag=direct status=none &
reader=$!
far_dies
far_serve 10.9.0.3 /run/far.img
wait_until remote_is $number attached
api GET /remotes/$number | grep -q '"uri":"nbd://10.9.0.3"'
wait $reader
cmp /run/random /run/read
say 'the local daemon dies, and so does the server meanwhile'
crash_daemon
far_dies
cmp -n $((4 << 20)) /run/random $node &
reader=$!
far_serve 10.9.0.2 /run/far.img
start_daemon
wait_until remote_is $number attached
wait $reader
say 'a restart takes it out of the kernel, and puts it in again'
stop_daemon
is_free nbd$number
start_daemon
wait_until remote_is $number attached
cmp -n $((4 << 20)) /run/random $node
say 'one daemon takes over from the other under a user'
exec {user}<$node
take_over
remote_is $number attached
cmp -n $((4 << 20)) /run/random $node
exec {user}<&-
api DELETE /remotes/$number
is_free nbd$number
far_dies
stop_daemon
`;

/** TLS goes through a thread of the daemon's. `rounds`: attached and detached so often, and nothing is left. */
export const tlsAndRounds = (rounds: number): string => `
start_daemon
echo "alice:$(printf '0123456789abcdef%.0s' 1 2 3 4)" >/run/keys.psk
truncate -s 16M /run/far.img
far_serve 10.9.0.2 /run/far.img --tls=require --tls-psk=/run/keys.psk
number=$(attach_remote '{"uris":["nbds://alice@10.9.0.2"],"tls":{"psk":"/run/keys.psk"},"connections":2}')
node=/dev/nbd$number
dd if=/dev/urandom of=/run/random bs=1M count=8 status=none
dd if=/run/random of=$node bs=1M oflag=direct status=none
cmp -n $((8 << 20)) /run/random /run/far.img
far_dies
far_serve 10.9.0.2 /run/far.img --tls=require --tls-psk=/run/keys.psk
echo 3 >/proc/sys/vm/drop_caches
cmp -n $((4 << 20)) /run/random $node
wait_until remote_is $number attached
api DELETE /remotes/$number
far_dies
say 'rounds'
far_serve 10.9.0.2 /run/far.img
open_files() { ls /proc/$daemon/fd | wc -l; }
threads() { ls /proc/$daemon/task | wc -l; }
api DELETE /remotes/$(attach_remote '{"uris":["nbd://10.9.0.2"]}')
before="$(open_files) $(threads)"
for round in $(seq ${rounds}); do
  number=$(attach_remote '{"uris":["nbd://10.9.0.2"],"readOnly":true}')
  [ "$number" = 0 ]
  [ "$(cat /sys/block/nbd0/ro)" = 1 ]
  api DELETE /remotes/$number
  is_free nbd0
done
is_as_before() { [ "$(open_files) $(threads)" = "$before" ]; }
wait_until is_as_before
[ "$(api GET /remotes)" = '[]' ]
far_dies
stop_daemon
`;

/** Every server, plain and over TLS, over TCP and a Unix socket: what is written is read back, and is in the file. */
export const EVERY_SERVER = `
start_daemon
mkdir /run/keys && cd /run/keys
new_key() { openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout $1-key.pem -subj /CN=$1 "\${@:2}" 2>/dev/null; }
new_key ca -x509 -days 9 -out ca-cert.pem
new_key server -out server.csr
echo subjectAltName=IP:10.9.0.2,DNS:localhost >names
openssl x509 -req -in server.csr -CA ca-cert.pem -CAkey ca-key.pem -CAcreateserial -days 9 -extfile names -out server-cert.pem 2>/dev/null
echo "alice:$(printf '0123456789abcdef%.0s' 1 2 3 4)" >keys.psk
cd /
dd if=/dev/urandom of=/run/random bs=1M count=2 status=none
ca='"ca":"/run/keys/ca-cert.pem"' psk='"psk":"/run/keys/keys.psk","user":"alice"' socket=/run/far.sock
listens() { [ $1 = unix ] && [ -S $socket ] || { [ $1 = tcp ] && far_listens 10.9.0.2; }; }
far_runs() { # TRANSPORT PROGRAM...: its process is $far
  local transport=$1
  shift
  rm -f $socket
  nsenter --net=/run/netns/far "$@" &
  far=$!
  wait_until listens $transport
}
round=0
gets_number() { number=$(attach_remote "$body") && [ -n "$number" ]; }
works() { # TITLE URI TLS
  say "$1"
  round=$((round + 1))
  body='{"uris":["'"$2"'"],"tls":{'"$3"'}}'
  wait_until gets_number # a server whose socket is there may take long to answer in an emulated machine
  head -c 4096 /dev/urandom | dd of=/run/random bs=4096 seek=$round conv=notrunc status=none
  dd if=/run/random of=/dev/nbd$number bs=256k oflag=direct conv=fsync status=none
  dd if=/dev/nbd$number bs=256k iflag=direct status=none | cmp - /run/random
  cmp /run/far.img /run/random
  api DELETE /remotes/$number
  is_free nbd$number
}
truncate -s 2M /run/far.img
for transport in unix tcp; do
  [ $transport = unix ] && at="-U $socket" || at='-i 10.9.0.2'
  [ $transport = unix ] && qemu_at="-k $socket" || qemu_at='-b 10.9.0.2'
  [ $transport = unix ] && plain="nbd+unix:///disk?socket=$socket" || plain=nbd://10.9.0.2/disk
  for security in plain certificates psk; do
    [ $security = plain ] && uri=$plain || uri=\${plain/nbd/nbds}
    case $security in
      plain) tls='' nbdkit='' qemu='' ;;
      certificates) tls=$ca nbdkit='--tls=require --tls-certificates=/run/keys'
        qemu='--object tls-creds-x509,id=t,endpoint=server,dir=/run/keys,verify-peer=off --tls-creds t' ;;
      psk) tls=$psk nbdkit='--tls=require --tls-psk=/run/keys/keys.psk'
        qemu='--object tls-creds-psk,id=t,endpoint=server,dir=/run/keys --tls-creds t' ;;
    esac
    far_runs $transport nbdkit -f -e disk $nbdkit $at file /run/far.img
    works "nbdkit $transport $security" "$uri" "$tls"
    far_dies
    far_runs $transport qemu-nbd -f raw -t -x disk $qemu $qemu_at /run/far.img
    works "qemu-nbd $transport $security" "$uri" "$tls"
    far_dies
    [ $security != psk ] || continue
    {
      echo '[generic]'
      [ $transport = unix ] && echo unixsock=$socket || echo listenaddr=10.9.0.2
      [ $security = plain ] || printf '%s\\n' certfile=/run/keys/server-cert.pem keyfile=/run/keys/server-key.pem force_tls=true
      printf '%s\\n' '[disk]' exportname=/run/far.img flush=true
    } >/run/nbd-server.conf
    far_runs $transport sh -c 'nbd-server -C /run/nbd-server.conf -p /run/nbd-server.pid; exec sleep infinity'
    works "nbd-server $transport $security" "$uri" "$tls"
    kill -KILL -- -$(cat /run/nbd-server.pid)
    far_dies
  done
done
rm -f $socket
nsenter --net=/run/netns/far "$NODE" "$NBDLOOP_PROGRAMS/nbdloopd.js" --listen 10.9.0.2 --insecure --unix $socket --control /run/far.control \\
  --state-dir none --device /run/far.img --name disk --tls-cert /run/keys/server-cert.pem --tls-key /run/keys/server-key.pem \\
  --tls-psk /run/keys/keys.psk >/run/far.log 2>&1 &
far=$!
wait_until listens tcp
for plain in nbd://10.9.0.2/disk "nbd+unix:///disk?socket=$socket"; do
  works "nbdloop $plain" "$plain" ''
  works "nbdloop $plain certificates" "\${plain/nbd/nbds}" "$ca"
  works "nbdloop $plain psk" "\${plain/nbd/nbds}" "$psk"
done
far_dies
stop_daemon
`;

/**
 * What /dev/nbdN of a URI does, and of nbd-client, with one server: both are attached, and have their turns of 2 s by one fio, ABBA.
 * A line \`speed WHO RW SIZE IOPS\` for each turn.
 */
export const SPEED = `
start_daemon
truncate -s 64M /run/far.img
far_serve 10.9.0.2 /run/far.img
number=$(attach_remote '{"uris":["nbd://10.9.0.2"]}')
nbd-client 10.9.0.2 -N '' /dev/nbd9 >/dev/null
say 'the kernel drives both in the same way'
# But for the time after which it looks again at what is under way, and schedulers, which udev chooses.
attributes() { (cd /sys/block/$1 && grep -r . queue size ro 2>/dev/null | grep -v io_timeout | sort); }
diff <(attributes nbd$number) <(attributes nbd9)
turn() { # WHO RW SIZE
  [ $1 = nbdloop ] && node=/dev/nbd$number || node=/dev/nbd9
  printf '%s\\n' "[$1,$2,$3]" stonewall filename=$node rw=$2 bs=$3
}
{
  printf '%s\\n' '[global]' direct=1 ioengine=libaio iodepth=16 time_based runtime=2
  for rw in randread randwrite; do
    for size in 4k 128k; do
      for pair in 1 2 3 4 5 6; do
        for who in nbdloop nbd-client nbd-client nbdloop; do turn $who $rw $size; done
      done
    done
  done
} >/run/turns.fio
fio --output-format=terse --terse-version=3 /run/turns.fio | tr ',;' '  ' | awk '{print "speed", $3, $4, $5, $10 + $51}'
nbd-client -d /dev/nbd9 >/dev/null
wait_until is_free nbd9
api DELETE /remotes/$number
far_dies
stop_daemon
`;
