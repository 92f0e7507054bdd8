/** Overlays as clients nobody here wrote see them: over TLS, over several connections, read-only. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { checksum } from '../helpers/checksum.js';
import { Daemon } from '../helpers/daemon.js';
import { nbdJob, parseFio, runFio } from '../helpers/fio.js';
import { run, runOk } from '../helpers/process.js';
import { makeRandomFile, TempDir } from '../helpers/temp.js';
import { skipUnless, tool } from '../helpers/tools.js';

const MIB = 1 << 20;
const SIZE = 16 * MIB;
t.setTimeout(120_000);

const qemuIo = (uri: string, ...commands: readonly string[]): Promise<unknown> =>
  runOk(tool('qemu-io'), ['-f', 'raw', ...commands.flatMap((command) => ['-c', command]), uri]);

t.test('over TLS: written, and read from all layers', { skip: skipUnless('nbdcopy') }, async (t) => {
  using files = new TempDir();
  const image = makeRandomFile(files.file('gold.img'), SIZE);
  const other = makeRandomFile(files.file('other.img'), SIZE);
  mkdirSync(files.file('psk'));
  const psk = files.file('psk', 'keys.psk');
  writeFileSync(psk, `alice:${'c0ffee'.repeat(10)}\n`);
  await using daemon = await Daemon.start({ args: ['--tls-psk', psk, '--tls-require'] });
  const delta = files.file('top');
  await daemon.cliOk('nbdlosetup', '--no-attach', '--overlay', delta, '-f', image);
  const before = await checksum(image);
  const uri = `nbds+unix://alice@/loop0?socket=${daemon.socket}&tls-psk-file=${psk}`;
  await runOk(tool('nbdcopy'), [uri, files.file('copy')]);
  t.equal(await checksum(files.file('copy')), before, 'the base');
  await runOk(tool('nbdcopy'), ['--flush', other, uri]);
  await runOk(tool('nbdcopy'), [uri, files.file('copy')]);
  t.equal(await checksum(files.file('copy')), await checksum(other), 'the delta');
  t.equal(await checksum(image), before, 'the image is as it was');
  await daemon.cliOk('nbdloop', 'delta', 'check', delta);
});

t.test(
  'over four connections that write at once and are told that they may',
  { skip: skipUnless('fio', 'nbdinfo', 'nbdcopy', 'qemu-io') },
  async (t) => {
    using files = new TempDir();
    const image = makeRandomFile(files.file('gold.img'), SIZE);
    await using daemon = await Daemon.start();
    const delta = files.file('top');
    await daemon.cliOk('nbdlosetup', '--no-attach', '--overlay', delta, '-f', image);
    const info = await runOk(tool('nbdinfo'), ['--json', daemon.uri()]);
    t.match(JSON.parse(info), {
      exports: [{ 'export-size': SIZE, can_multi_conn: true, is_read_only: false, can_fua: true }],
    });
    // Unaligned parts of the same blocks from all four, each verified by the one that wrote it.
    const written = await runFio(
      nbdJob(daemon.uri(), {
        ...{ rw: 'randwrite', bs: '1k', blockalign: '4k', iodepth: 8, numjobs: 4, size: '12m' },
        ...{ offset_increment: '1k', verify: 'crc32c', verify_state_save: 0, number_ios: 1500 },
      }),
    );
    t.equal(written.status, 0, 'no error, no mismatch', { written });
    t.strictSame(parseFio(written.stdout).errors, [0, 0, 0, 0]);
    const uri = daemon.uri();
    await runOk(tool('nbdcopy'), ['--connections=4', '--flush', '--request-size=4096', image, uri]);
    await runOk(tool('nbdcopy'), ['--connections=4', uri, files.file('copy')]);
    t.equal(await checksum(files.file('copy')), await checksum(image));
    await qemuIo(uri, 'write -P 9 1000 100', 'discard 64k 64k', 'write -z 256k 4k', 'flush');
    await qemuIo(uri, 'read -P 9 1000 100', 'read -P 0 64k 64k', 'read -P 0 256k 4k');
    await daemon.cliOk('nbdlosetup', '-d', 'loop0');
    t.match(await daemon.cliOk('nbdloop', 'delta', 'check', delta), /nothing is wrong/);
  },
);

t.test(
  'read-only: nobody writes, and neither the base nor the delta changes',
  { skip: skipUnless('nbdinfo', 'nbdcopy', 'qemu-io') },
  async (t) => {
    using files = new TempDir();
    const image = makeRandomFile(files.file('gold.img'), SIZE);
    const delta = files.file('top');
    await using daemon = await Daemon.start();
    const bind = (...options: string[]): Promise<string> =>
      daemon.cliOk('nbdlosetup', '--no-attach', ...options, '--overlay', delta, '-f', image);
    await bind();
    await qemuIo(daemon.uri(), 'write -P 5 5000 5000', 'flush');
    await daemon.cliOk('nbdlosetup', '-d', 'loop0');
    const before = [await checksum(image), await checksum(delta)];
    await bind('-r');
    const info = JSON.parse(await runOk(tool('nbdinfo'), ['--json', daemon.uri()]));
    t.match(info, { exports: [{ is_read_only: true, can_multi_conn: true }] });
    const refused = await run(tool('qemu-io'), ['-f', 'raw', '-c', 'write -P 1 0 4k', daemon.uri()]);
    t.not(refused.status, 0);
    await runOk(tool('qemu-io'), ['-r', '-f', 'raw', '-c', 'read -P 5 5000 5000', daemon.uri()]);
    await runOk(tool('nbdcopy'), [daemon.uri(), files.file('copy')]);
    const meant = readFileSync(image).fill(5, 5000, 10_000);
    t.ok(readFileSync(files.file('copy')).equals(meant));
    for (const command of ['commit', 'move', 'snapshot']) {
      const said = await daemon.cli(
        'nbdloop',
        command,
        'loop0',
        ...(command === 'commit' ? [] : [files.file('new')]),
      );
      t.comment(`${command}: ${said.status} ${said.stderr}${said.stdout}`);
    }
    await daemon.cliOk('nbdlosetup', '-d', 'loop0');
    t.strictSame([await checksum(image), await checksum(delta)], before);
  },
);
