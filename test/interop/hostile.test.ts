import { randomBytes } from 'node:crypto';
import t from 'tap';
import { Daemon } from '../helpers/daemon.js';
import { nbdJob, parseFio, startFio } from '../helpers/fio.js';
import { option, text, u32 } from '../helpers/handshake.js';
import { runOk } from '../helpers/process.js';
import { connectPeer } from '../helpers/raw-peers.js';
import { makeSparseFile, TempDir } from '../helpers/temp.js';
import { skipUnless, tool } from '../helpers/tools.js';
import { until } from '../helpers/until.js';

t.setTimeout(180_000);

const FIXED_NEWSTYLE = u32(1);
const EXPORT_NAME = 1;
const GO = 7;

/** What a peer sends, by its number: garbage, handshakes that stop half-way, or nothing. */
const BEHAVIOURS: readonly ((index: number) => Buffer | undefined)[] = [
  () => randomBytes(4096),
  () => undefined,
  () => FIXED_NEWSTYLE,
  (index) => Buffer.concat([FIXED_NEWSTYLE, option(GO, text('loop0')).subarray(0, 5 + (index % 20))]),
  () => Buffer.concat([FIXED_NEWSTYLE, option(GO, Buffer.alloc(0), 0xffff_ffff)]),
  () => Buffer.concat([FIXED_NEWSTYLE, randomBytes(2048)]),
  () => Buffer.concat([FIXED_NEWSTYLE, option(EXPORT_NAME, Buffer.from('loop0')), randomBytes(512)]),
  () => Buffer.from('GET / HTTP/1.1\r\nHost: loop0\r\n\r\n'),
];

t.test(
  '200 peers of garbage, half a handshake or silence do not stop a running fio',
  { skip: skipUnless('fio', 'nbdinfo') },
  async (t) => {
    using files = new TempDir();
    const image = makeSparseFile(files.file('disk.img'), 128 << 20);
    const scratch = makeSparseFile(files.file('scratch.img'), 1 << 20);
    await using daemon = await Daemon.start({ devices: [scratch, image] });
    await using fio = startFio(
      nbdJob(daemon.uri('loop1'), {
        ...{ rw: 'randwrite', bs: '4k', iodepth: 16, numjobs: 2, size: '64m', offset_increment: '64m' },
        ...{ verify: 'crc32c', verify_fatal: 1, verify_state_save: 0, loops: 3, group_reporting: true },
      }),
    );
    await until('fio runs', async () =>
      (await daemon.client.device(1)).counters.writes > 0 ? true : undefined,
    );
    const peers = await Promise.all(
      Array.from({ length: 200 }, (_, index) =>
        connectPeer(daemon.socket, BEHAVIOURS[index % BEHAVIOURS.length]?.(index)),
      ),
    );
    t.notOk(fio.isOver, 'fio still runs while they are connected');
    t.match(await runOk(tool('nbdinfo'), ['--size', daemon.uri('loop1')]), String(128 << 20));
    const ended = await fio.wait(120_000);
    for (const peer of peers) peer.destroy();
    t.equal(ended.status, 0, 'exit status of fio', { ended });
    t.strictSame(parseFio(ended.stdout).errors, [0]);
    await until('the peers are gone', async () =>
      (await daemon.client.device(0)).openers === 0 ? true : undefined,
    );
    const stopped = await daemon.stop();
    t.equal(stopped.status, 0, 'the daemon ends in order', { stopped });
  },
);
