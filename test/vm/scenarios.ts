/** What a guest does with /dev/nbd0 while the daemon runs on the host: shared by the tests and `npm run demo:vm`. */
import { mkdirSync, readdirSync, readlinkSync } from 'node:fs';
import { Daemon, freePort } from '../helpers/daemon.js';
import { runOk } from '../helpers/process.js';
import { makeRandomFile, makeSparseFile, TempDir } from '../helpers/temp.js';
import { tool } from '../helpers/tools.js';
import { makeTree, treeChecksums } from '../helpers/tree.js';
import { until } from '../helpers/until.js';
import { ASK, answering, type Steps } from './dialogue.js';
import { type GuestResult, runGuest } from './guest.js';

export interface ScenarioResult {
  readonly guest: GuestResult;
  /** What the guest must have said, and what the host saw; by a name for each check. */
  readonly checks: Readonly<Record<string, boolean>>;
  /** Complaints of the kernel that the scenario causes on purpose. */
  readonly provoked: readonly RegExp[];
}

export interface ScenarioOptions {
  /** Called with the guest's console as it comes. */
  readonly onConsole?: (text: string) => void;
}

/** The host's loopback as a guest with user networking sees it. */
const HOST = '10.0.2.2';

/** Shell that attaches and detaches /dev/nbd0 with the stock nbd-client, and says what it does. */
const PRELUDE = `
${ASK}
say() { echo "guest: $*"; }
attach() {
  say "nbd-client $HOST $PORT /dev/nbd0 -name loop0"
  nbd-client $HOST $PORT /dev/nbd0 -name loop0
  nbd-client -c /dev/nbd0 >/dev/null
}
detach() {
  say 'nbd-client -d /dev/nbd0'
  nbd-client -d /dev/nbd0
  for try in $(seq 100); do [ -e /sys/block/nbd0/pid ] || return 0; sleep 0.1; done
  say 'still attached'
  return 1
}
read_block() { dd if=/dev/nbd0 of=\${1:-/dev/null} bs=4096 count=1 iflag=direct status=none; }
`;

interface Setting {
  readonly daemon: Daemon;
  readonly shared: TempDir;
  readonly port: number;
}

async function inGuest(
  { shared, port }: Setting,
  script: string,
  steps: Steps,
  options: ScenarioOptions,
): Promise<GuestResult> {
  const work = runGuest(shared, {
    kernel: 'qemu',
    network: true,
    script: PRELUDE + script,
    environment: { HOST, PORT: String(port) },
    ...(options.onConsole === undefined ? {} : { onConsole: options.onConsole }),
  });
  return await answering(shared, steps, work);
}

const FILE_SYSTEM = `
attach
[ "$(blockdev --getsize64 /dev/nbd0)" = $SIZE ]
say 'mkfs.ext4'
mkfs.ext4 -q /dev/nbd0
mount /dev/nbd0 /run/mnt
say 'copying a tree'
cp -a "$SHARED/tree" /run/mnt/
fstrim -v /run/mnt
umount /run/mnt
say 'fsck'
fsck.ext4 -f -n /dev/nbd0
detach
`;

/** An ext4 made in the guest, looked at from outside in the backing file. */
export async function fileSystemScenario(options: ScenarioOptions = {}): Promise<ScenarioResult> {
  using shared = new TempDir();
  using files = new TempDir();
  const size = 256 << 20;
  const image = makeSparseFile(files.file('disk.img'), size);
  const expected = treeChecksums(makeTree(shared.file('tree')));
  const port = await freePort();
  await using daemon = await Daemon.start({ devices: [image], port });
  const guest = await inGuest({ daemon, shared, port }, `SIZE=${size}\n${FILE_SYSTEM}`, {}, options);

  await runOk(tool('e2fsck'), ['-f', '-n', image]);
  mkdirSync(files.file('outside'));
  await runOk(tool('debugfs'), ['-R', `rdump /tree ${files.file('outside')}`, image]);
  const found = treeChecksums(files.file('outside', 'tree'));
  return {
    guest,
    checks: {
      'every file of the tree has the same checksum in the backing file':
        JSON.stringify(found) === JSON.stringify(expected) && Object.keys(found).length >= 200,
      'no session is left': (await daemon.client.device(0)).openers === 0,
    },
    provoked: [],
  };
}

const FIO = `
attach
say 'fio randrw 4k QD16 --verify=crc32c'
fio --name=verify --filename=/dev/nbd0 --ioengine=libaio --direct=1 --rw=randrw --bs=4k --iodepth=16 \\
  --size=16m --eta=never --verify=crc32c --verify_fatal=1 --verify_state_save=0
detach
`;

/** fio on /dev/nbd0 with verification. */
export async function fioScenario(options: ScenarioOptions = {}): Promise<ScenarioResult> {
  using shared = new TempDir();
  using files = new TempDir();
  const image = makeSparseFile(files.file('disk.img'), 64 << 20);
  const port = await freePort();
  await using daemon = await Daemon.start({ devices: [image], port });
  const guest = await inGuest({ daemon, shared, port }, FIO, {}, options);
  const { counters } = await daemon.client.device(0);
  return {
    guest,
    checks: {
      'fio ended without an error': /verify: .*err= ?0/.test(guest.console),
      'its I/O went through the daemon': counters.writes > 1000 && counters.reads > 1000,
      'the daemon saw no error': counters.errors === 0,
    },
    provoked: [],
  };
}

const CLEARED_BEHIND = `
attach
read_block "$SHARED/before"
ask clear
say 'reading a device whose file was taken away'
if read_block 2>"$SHARED/error"; then say 'that read should have failed'; exit 1; fi
cat "$SHARED/error"
grep -q 'Input/output error' "$SHARED/error"
ask bind
say 'reading after the file is bound again'
read_block "$SHARED/after"
cmp "$SHARED/before" "$SHARED/after"
detach
`;

/** The file is taken from under an attached device by force, and given back. */
export async function clearedBehindScenario(options: ScenarioOptions = {}): Promise<ScenarioResult> {
  using shared = new TempDir();
  using files = new TempDir();
  const image = makeRandomFile(files.file('disk.img'), 16 << 20);
  const port = await freePort();
  await using daemon = await Daemon.start({ devices: [image], port });
  let openersAfterClear = 0;
  const steps: Steps = {
    clear: async () => {
      await daemon.cliOk('nbdlosetup', '-d', '--force', 'loop0');
      openersAfterClear = (await daemon.client.device(0)).openers;
    },
    bind: async () => {
      await daemon.cliOk('nbdlosetup', '--no-attach', 'loop0', image);
    },
  };
  const guest = await inGuest({ daemon, shared, port }, CLEARED_BEHIND, steps, options);
  return {
    guest,
    checks: {
      'the session stays open while nothing is bound': openersAfterClear === 1,
      'the read failed with EIO': /Input\/output error/.test(guest.console),
    },
    provoked: [/I\/O error.* nbd0/],
  };
}

const AUTOCLEAR = `
attach
ask check
say 'the last close'
detach
ask gone
`;

/** An autoclear device lets its file go when nbd-client disconnects. */
export async function autoclearScenario(options: ScenarioOptions = {}): Promise<ScenarioResult> {
  using shared = new TempDir();
  using files = new TempDir();
  const image = makeRandomFile(files.file('disk.img'), 16 << 20);
  const port = await freePort();
  await using daemon = await Daemon.start({ port });
  await daemon.client.add(0);
  await daemon.client.configure(0, { file: image, autoclear: true });
  let heldWhileOpen = false;
  let heldAfterClose = true;
  const steps: Steps = {
    check: async () => {
      heldWhileOpen = (await daemon.client.device(0)).state === 'bound' && holdsFile(daemon.pid, image);
    },
    gone: async () => {
      await until('the device is unbound', async () =>
        (await daemon.client.device(0)).state === 'unbound' ? true : undefined,
      );
      heldAfterClose = holdsFile(daemon.pid, image);
    },
  };
  const guest = await inGuest({ daemon, shared, port }, AUTOCLEAR, steps, options);
  return {
    guest,
    checks: {
      'the daemon holds the file while the device is attached': heldWhileOpen,
      'the file is closed after the last close': !heldAfterClose,
    },
    provoked: [],
  };
}

/** True while a process has the file open. */
const holdsFile = (pid: number, file: string): boolean =>
  readdirSync(`/proc/${pid}/fd`).some((fd) => linkTarget(`/proc/${pid}/fd/${fd}`) === file);

function linkTarget(link: string): string | undefined {
  try {
    return readlinkSync(link);
  } catch {
    return undefined;
  }
}
