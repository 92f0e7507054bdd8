/** Overlays under load: snapshots, moves and commits while fio verifies what it wrote, and a daemon that is killed meanwhile. */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { Daemon } from '../helpers/daemon.js';
import { nbdJob, parseFio, startFio } from '../helpers/fio.js';
import { runOk } from '../helpers/process.js';
import { makeRandomFile, TempDir } from '../helpers/temp.js';
import { skipUnless, tool } from '../helpers/tools.js';
import { until } from '../helpers/until.js';

const MIB = 1 << 20;
t.setTimeout(180_000);
const NEEDS = { skip: skipUnless('fio', 'nbdcopy', 'qemu-io') };

/** A MiB of one byte, on loop0 and in what that must read as. */
async function writePattern(daemon: Daemon, model: Buffer, pattern: number, at: number): Promise<void> {
  model.fill(pattern, at, at + MIB);
  await runOk(tool('qemu-io'), ['-f', 'raw', '-c', `write -P ${pattern} ${at} 1M`, daemon.uri()]);
}

/** All that loop0 holds. */
async function contentOf(daemon: Daemon, files: TempDir): Promise<Buffer> {
  await runOk(tool('nbdcopy'), [daemon.uri(), files.file('copy')]);
  return readFileSync(files.file('copy'));
}

/** Resolves when a copy of loop0 has begun. */
const someIsCopied = ({ client }: Daemon): Promise<true> =>
  until('some is copied', async () => ((await client.copyStatus(0)).doneBytes > 0 ? true : undefined));

t.test(
  'fio finds what it wrote while snapshots are taken, and while the device moves to another file system and back',
  NEEDS,
  async (t) => {
    using files = new TempDir();
    const image = makeRandomFile(files.file('gold.img'), 32 * MIB);
    await using daemon = await Daemon.start();
    await daemon.cliOk('nbdlosetup', '--no-attach', '--overlay', files.file('top'), '-f', image);
    await using fio = startFio([
      ...nbdJob(daemon.uri(), {
        rw: 'randwrite',
        bs: '4k',
        iodepth: 16,
        size: '7m',
        numjobs: 4,
        offset_increment: '8m',
      }),
      ...[
        '--verify=crc32c',
        '--verify_backlog=256',
        '--time_based',
        '--runtime=15',
        '--rate_iops=2000',
        '--verify_state_save=0',
      ],
    ]);
    await until('fio writes', async () =>
      (await daemon.client.device(0)).counters.writes > 200 ? true : undefined,
    );
    for (let i = 0; i < 12; i++) {
      const [taken] = await daemon.client.snapshot({ devices: [{ number: 0, file: files.file(`s${i}`) }] });
      t.match(taken, { kind: /sealed|clone/, waitedMs: Number });
      await sleep(100);
    }
    using memory = new TempDir('/dev/shm');
    for (const file of [memory.file('there'), files.file('back')]) {
      const said = await daemon.cliOk('nbdloop', 'move', 'loop0', file);
      t.match(said, /requests waited/);
      t.match(await daemon.client.device(0), { file, layers: 1, delta: null });
    }
    const ended = await fio.wait(60_000);
    t.equal(ended.status, 0, 'no error, no mismatch', { ended });
    t.strictSame(
      parseFio(ended.stdout).errors.filter((errno) => errno !== 0),
      [],
    );
    const looked = await daemon
      .cliOk('nbdloop', 'snapshot', 'loop0', files.file('plain'))
      .catch((error: Error) => error.message);
    t.match(looked, /EOPNOTSUPP|is a clone/);
  },
);

t.test(
  'a daemon that ends in a move leaves the old file whole and no other, and the tool says so',
  async (t) => {
    using files = new TempDir();
    using directory = new TempDir();
    const image = makeRandomFile(files.file('a.img'), 16 * MIB);
    const model = readFileSync(image);
    const first = await Daemon.start({ directory });
    await first.cliOk('nbdlosetup', '--no-attach', '-f', image);
    const moving = first.startCli('nbdloop', 'move', '--rate', '1M', 'loop0', files.file('b.img'));
    await until('the copy runs', async () => {
      const status = await first.client.copyStatus(0).catch(() => undefined);
      return (status?.doneBytes ?? 0) > 0 ? true : undefined;
    });
    t.match(await first.stop(), { status: 0 });
    const said = await moving.wait(20_000);
    t.match(said, { status: 1, stderr: /loop0: the daemon ended during the move; .*\(ECONNRESET\)\n$/ });
    t.notOk(existsSync(files.file('b.img')));
    await using second = await Daemon.start({ directory });
    t.match(await second.client.device(0), { file: image });
    t.ok(readFileSync(image).equals(model));
  },
);

t.test(
  'a daemon that is killed in a commit: the overlay is whole, and the commit can be done',
  NEEDS,
  async (t) => {
    using files = new TempDir();
    using directory = new TempDir();
    const image = makeRandomFile(files.file('gold.img'), 16 * MIB);
    const delta = files.file('top');
    const model = readFileSync(image);
    const first = await Daemon.start({ directory });
    await first.cliOk('nbdlosetup', '--no-attach', '--overlay', delta, '-f', image);
    for (const [pattern, at] of [
      [1, 0],
      [2, 5 * MIB + 512],
      [3, 12 * MIB],
    ] as const)
      await writePattern(first, model, pattern, at);
    await first.client.commit(0, MIB);
    await someIsCopied(first);
    await first.kill();
    await using second = await Daemon.start({ directory });
    t.match(await second.client.device(0), { file: image, delta, layers: 2 });
    t.ok((await contentOf(second, files)).equals(model), 'the overlay');
    t.equal((await second.cli('nbdloop', 'cancel', 'loop0')).status, 1, 'nothing runs');
    await second.cliOk('nbdloop', 'commit', 'loop0');
    t.ok((await contentOf(second, files)).equals(model), 'the base');
    t.notOk(existsSync(delta));
    await second.cliOk('nbdlosetup', '-d', 'loop0');
    t.ok(readFileSync(image).equals(model));
    t.equal(statSync(image).size, 16 * MIB);
    await first[Symbol.asyncDispose]();
  },
);

for (const kind of ['move', 'flatten'] as const) {
  t.test(
    `a daemon that is killed in a ${kind}: the overlay is whole, and the ${kind} can be done`,
    NEEDS,
    async (t) => {
      using files = new TempDir();
      using directory = new TempDir();
      const image = makeRandomFile(files.file('gold.img'), 8 * MIB);
      const model = readFileSync(image);
      const delta = files.file('top');
      const first = await Daemon.start({ directory });
      await first.cliOk('nbdlosetup', '--no-attach', '--overlay', delta, '-f', image);
      await writePattern(first, model, 1, 512);
      await (kind === 'move'
        ? first.client.move(0, files.file('new'), MIB)
        : first.client.flatten(0, { rate: MIB }));
      await someIsCopied(first);
      await writePattern(first, model, 2, 0);
      await writePattern(first, model, 3, 6 * MIB);
      await first.kill();
      await using second = await Daemon.start({ directory });
      t.match(await second.client.device(0), { file: image, delta, layers: 2 });
      t.ok((await contentOf(second, files)).equals(model), 'the overlay');
      const file = kind === 'move' ? files.file('again') : delta;
      await second.cliOk('nbdloop', kind, 'loop0', ...(kind === 'move' ? [file] : []));
      t.match(await second.client.device(0), { file, delta: null, layers: 1 });
      t.ok((await contentOf(second, files)).equals(model), 'the new file');
      await second.cliOk('nbdlosetup', '-d', 'loop0');
      t.ok(readFileSync(file).equals(model));
      await first[Symbol.asyncDispose]();
    },
  );
}
