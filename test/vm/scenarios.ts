/** What a guest does with /dev/nbd0 while the daemon runs on the host: shared by the tests and `npm run demo:vm`. */
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { Daemon, freePort } from '../helpers/daemon.js';
import { HalfDisk, skipWithoutFailingDisks } from '../helpers/failing-disks.js';
import { runOk } from '../helpers/process.js';
import { makeRandomFile, makeSparseFile, TempDir } from '../helpers/temp.js';
import { tool } from '../helpers/tools.js';
import { makeTree, treeChecksums } from '../helpers/tree.js';
import { until } from '../helpers/until.js';
import { ASK, answering, type Steps } from './dialogue.js';
import { type GuestTest, type GuestTestResult, type GuestTestsResult, runTests } from './guest-tests.js';

export interface ScenarioResult {
  readonly result: GuestTestResult;
  /** What the host saw, and what the guest must have said; by a name for each check. */
  readonly checks: Readonly<Record<string, boolean>>;
}

export interface ScenarioOptions {
  /** Called with the guest's console as it comes. */
  readonly onConsole?: (text: string) => void;
}

/** The host's loopback as a guest with user networking sees it. */
const HOST = '10.0.2.2';
const FILE_SYSTEM_BYTES = 256 << 20;

/** Shell that attaches /dev/nbd0 with the stock nbd-client, and says what it does. */
const PRELUDE = `
${ASK}
say() { echo "guest: $*"; }
attach() {
  say "nbd-client $HOST $PORT /dev/nbd0 -name $1"
  nbd-client $HOST $PORT /dev/nbd0 -name $1
  nbd-client -c /dev/nbd0 >/dev/null
}
detach() {
  say 'nbd-client -d /dev/nbd0'
  nbd-client -d /dev/nbd0
  becomes_free
}
read_block() { dd if=/dev/nbd0 of=\${1:-/dev/null} bs=4096 count=1 iflag=direct status=none; }
`;

const FILE_SYSTEM: GuestTest = {
  title: 'ext4 on /dev/nbd0: made, filled, checked, and found whole in the backing file',
  script: `
attach loop0
[ "$(blockdev --getsize64 /dev/nbd0)" = ${FILE_SYSTEM_BYTES} ]
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
`,
};

const FIO: GuestTest = {
  title: 'fio verifies /dev/nbd0 at queue depth 16',
  script: `
attach loop1
say 'fio randrw 4k QD16 --verify=crc32c'
fio --name=verify --filename=/dev/nbd0 --ioengine=libaio --direct=1 --rw=randrw --bs=4k --iodepth=16 \\
  --size=16m --eta=never --verify=crc32c --verify_fatal=1 --verify_state_save=0
detach
`,
};

const CLEARED_BEHIND: GuestTest = {
  title: 'a device cleared behind /dev/nbd0 gives EIO, and works again when bound again',
  script: `
attach loop2
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
`,
  provoked: [/I\/O error.* nbd0/],
};

const AUTOCLEAR: GuestTest = {
  title: 'an autoclear device lets its file go when nbd-client disconnects',
  script: `
attach loop3
ask check
say 'the last close'
detach
ask gone
`,
};

/** Bytes of a disk whose second half cannot be read. */
const FAILING_BYTES = 16 << 20;

const FAILING: GuestTest = {
  title: 'a disk of the host that fails halfway gives EIO there, and stays attached',
  script: `
attach loop4
echo 4096 >/sys/block/nbd0/queue/max_sectors_kb
say 'reading the half that is there'
dd if=/dev/nbd0 of="$SHARED/half" bs=1M count=8 iflag=direct status=none
for range in 'bs=4096 skip=2048' 'bs=1M skip=8' 'bs=3M skip=2' 'bs=4M skip=2'; do
  say "reading $range"
  if dd if=/dev/nbd0 of=/dev/null $range count=1 iflag=direct status=none 2>"$SHARED/error"; then exit 1; fi
  cat "$SHARED/error"
  grep -q 'Input/output error' "$SHARED/error"
  read_block "$SHARED/block"
  cmp -n 4096 "$SHARED/block" "$SHARED/half"
done
nbd-client -c /dev/nbd0
detach
`,
  provoked: [/I\/O error.* nbd0/],
};

interface Images {
  readonly disk: string;
  readonly fio: string;
  readonly cleared: string;
  readonly autoclear: string;
}

/** What the host does while the guest asks, and what it has seen. */
class Host {
  openersAfterClear = 0;
  heldWhileOpen = false;
  heldAfterClose = true;

  constructor(
    readonly daemon: Daemon,
    readonly images: Images,
  ) {}

  readonly steps: Steps = {
    clear: async () => {
      await this.daemon.cliOk('nbdlosetup', '-d', '--force', 'loop2');
      this.openersAfterClear = (await this.daemon.client.device(2)).openers;
    },
    bind: async () => {
      await this.daemon.cliOk('nbdlosetup', '--no-attach', 'loop2', this.images.cleared);
    },
    check: async () => {
      this.heldWhileOpen = (await this.#state()) === 'bound' && this.#holdsFile();
    },
    gone: async () => {
      await until('the device is unbound', async () =>
        (await this.#state()) === 'unbound' ? true : undefined,
      );
      this.heldAfterClose = this.#holdsFile();
    },
  };

  async #state(): Promise<string> {
    return (await this.daemon.client.device(3)).state;
  }

  #holdsFile(): boolean {
    return holdsFile(this.daemon.pid, this.images.autoclear);
  }
}

/** Runs all of them in one guest, against one daemon on the host. */
export async function scenarios(
  options: ScenarioOptions = {},
): Promise<{ outcome: GuestTestsResult; scenarios: readonly ScenarioResult[] }> {
  using shared = new TempDir();
  using files = new TempDir();
  const images: Images = {
    disk: makeSparseFile(files.file('disk.img'), FILE_SYSTEM_BYTES),
    fio: makeSparseFile(files.file('fio.img'), 64 << 20),
    cleared: makeRandomFile(files.file('cleared.img'), 16 << 20),
    autoclear: makeRandomFile(files.file('autoclear.img'), 16 << 20),
  };
  const expected = treeChecksums(makeTree(shared.file('tree')));
  const port = await freePort();
  await using daemon = await Daemon.start({ devices: [images.disk, images.fio, images.cleared], port });
  await daemon.client.add(3);
  await daemon.client.configure(3, { file: images.autoclear, autoclear: true });
  const host = new Host(daemon, images);
  await using failing = await failingDisk(daemon);
  const tests = [FILE_SYSTEM, FIO, CLEARED_BEHIND, AUTOCLEAR, ...(failing === undefined ? [] : [FAILING])];
  const work = runTests(shared, tests, {
    network: true,
    before: PRELUDE,
    environment: { HOST, PORT: String(port) },
    ...options,
  });
  const outcome = await answering(shared, host.steps, work);

  const { counters } = await daemon.client.device(1);
  const said = (number: number, what: RegExp): boolean => what.test(outcome.results[number]?.output ?? '');
  const checks: readonly ScenarioResult['checks'][] = [
    {
      'every file of the tree has the same checksum in the backing file': await holdsTree(
        images.disk,
        files,
        expected,
      ),
      'no session is left': (await daemon.client.device(0)).openers === 0,
    },
    {
      'fio ended without an error': said(1, /verify: .*err= ?0/),
      'its I/O went through the daemon': counters.writes > 1000 && counters.reads > 1000,
      'the daemon saw no error': counters.errors === 0,
    },
    {
      'the session stays open while nothing is bound': host.openersAfterClear === 1,
      'the read failed with EIO': said(2, /Input\/output error/),
    },
    {
      'the daemon holds the file while the device is attached': host.heldWhileOpen,
      'the file is closed after the last close': !host.heldAfterClose,
    },
    failing === undefined ? {} : await checksOfFailing(daemon, failing, shared),
  ];
  return {
    outcome,
    scenarios: outcome.results.map((result, number) => ({ result, checks: checks[number] ?? {} })),
  };
}

/** Served as loop4; undefined where none can be made. */
async function failingDisk(daemon: Daemon): Promise<HalfDisk | undefined> {
  if (skipWithoutFailingDisks() !== false) return undefined;
  const disk = await HalfDisk.make(FAILING_BYTES);
  await daemon.client.add(4);
  await daemon.client.configure(4, { file: disk.path });
  return disk;
}

async function checksOfFailing(
  daemon: Daemon,
  disk: HalfDisk,
  shared: TempDir,
): Promise<ScenarioResult['checks']> {
  const { counters } = await daemon.client.device(4);
  await daemon.client.clear(4);
  const read = existsSync(shared.file('half')) ? readFileSync(shared.file('half')) : undefined;
  return {
    'the guest read what the disk still has': read?.equals(readFileSync(disk.file)) === true,
    'the daemon counted the errors': counters.errors >= 4,
  };
}

/** Whether the file system in the image is whole and holds the tree. */
async function holdsTree(
  image: string,
  files: TempDir,
  expected: ReturnType<typeof treeChecksums>,
): Promise<boolean> {
  await runOk(tool('e2fsck'), ['-f', '-n', image]);
  mkdirSync(files.file('outside'));
  await runOk(tool('debugfs'), ['-R', `rdump /tree ${files.file('outside')}`, image]);
  const found = treeChecksums(files.file('outside', 'tree'));
  return JSON.stringify(found) === JSON.stringify(expected) && Object.keys(found).length >= 200;
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
