import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import t from 'tap';
import { Daemon } from '../helpers/daemon.js';
import { runOk } from '../helpers/process.js';
import { makeSparseFile, TempDir } from '../helpers/temp.js';
import { skipUnless, tool } from '../helpers/tools.js';

t.setTimeout(120_000);

/** The indented blocks of the README: what a reader types. */
const blocks = readFileSync('README.md', 'utf8')
  .split(/\n\n+/)
  .filter((block) => /^ {4}\S/.test(block));
const blockWith = (words: string): string => {
  const [found, ...others] = blocks.filter((block) => block.includes(words));
  if (found === undefined || others.length > 0) throw new Error(`not one block of the README has: ${words}`);
  return found;
};

t.test(
  'the commands of the README work as written',
  { skip: skipUnless('nbdinfo', 'qemu-img') },
  async (t) => {
    using dir = new TempDir();
    mkdirSync(dir.file('bin'));
    for (const name of ['nbdlosetup', 'nbdloop']) {
      const program = resolve('dist/bin', `${name}.js`);
      const call = `#!/bin/sh\nexec '${process.execPath}' '${program}' "$@"\n`;
      writeFileSync(dir.file('bin', name), call, { mode: 0o755 });
    }
    // As `npm start` leaves it.
    await using daemon = await Daemon.start({ devices: [makeSparseFile(dir.file('served.img'), 1 << 20)] });
    const shell = (block: string) =>
      runOk(tool('sh'), ['-euc', block], {
        cwd: dir.path,
        env: { PATH: `${dir.file('bin')}:${process.env.PATH}`, NBDLOOP_CONTROL: daemon.control },
      });
    // The kernel is left out: there may be one here that would take the device.
    const tools = blockWith('nbdloop status').replace('-f --show', '--no-attach -f --show');
    const said = await shell(tools);
    t.match(said, /^nbd:\/\/\S+loop1\n|^nbd\+unix:\/\/\/loop1\?\S+\n/, 'the device is shown');
    t.match(said, /^loop1 .*disk\.img/m, 'and listed');
    t.equal((await daemon.client.device(1)).state, 'unbound', 'and let go');
    t.match(await shell(blockWith('qemu-img convert')), 'export-size: 1048576');
    const copy = JSON.parse(await runOk(tool('qemu-img'), ['info', '--output=json', dir.file('copy.qcow2')]));
    t.match(copy, { format: 'qcow2', 'virtual-size': 1 << 20 });
  },
);
