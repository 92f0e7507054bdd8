import { writeFileSync } from 'node:fs';
import t from 'tap';
import { LOSETUP_OPTIONS } from '../../../driver/cli/losetup-options.js';
import { generatedFiles } from '../../../packaging/generate/files.js';
import { programDocs } from '../../../packaging/generate/model.js';
import { run } from '../../helpers/process.js';
import { TempDir } from '../../helpers/temp.js';
import { skipUnless, tool } from '../../helpers/tools.js';

const files = generatedFiles();
const fileOf = (path: string): string => files.get(path) ?? '';

t.test('every program has a man page and a completion for each shell, with all its options', async (t) => {
  t.equal(files.size, 14);
  for (const program of programDocs()) {
    const options = [program, ...program.commands].flatMap((command) => command.options);
    t.ok(options.length > 0);
    const missing = options.flatMap(({ long }) =>
      [
        [`man/${program.name}.8`, `\\-\\-${long.replaceAll('-', '\\-')}`],
        [`completions/bash/${program.name}`, `--${long}`],
        [`completions/zsh/_${program.name}`, `--${long}`],
        [`completions/fish/${program.name}.fish`, `-l ${long} `],
      ].filter(([path, word]) => !fileOf(path ?? '').includes(word ?? '?')),
    );
    t.strictSame(missing, [], program.name);
  }
  t.ok(LOSETUP_OPTIONS.every(({ long }) => fileOf('man/nbdlosetup.8').includes(long.replaceAll('-', '\\-'))));
});

t.test('roff is left nothing to misread', async (t) => {
  for (const [path, text] of files) {
    if (!path.startsWith('man/')) continue;
    const odd = text.split('\n').filter((line) => /^[.'](?!TH |SH |TP$|PP$|RS$|RE$|nf$|fi$|BR )/.test(line));
    t.strictSame(odd, [], path);
    t.notMatch(text, /\\(?![-e&]|f[BR])/, `${path}: only known escapes`);
  }
});

/** What bash offers for the last of `words`, where the daemon has the devices loop0 and loop12. */
async function offered(dir: TempDir, program: string, ...words: string[]): Promise<string[]> {
  const script = `source ${dir.file(program)}
    compopt() { :; }
    nbdlosetup() { printf 'loop0\\nloop12\\n'; }
    COMP_WORDS=(${program} "$@"); COMP_CWORD=$#; COMPREPLY=()
    _${program}
    printf '%s\\n' "\${COMPREPLY[@]}"`;
  const ended = await run('bash', ['-c', script, 'bash', ...words], { cwd: dir.path });
  return ended.stdout.split('\n').filter((word) => word !== '');
}

t.test('bash completes commands, options and their values', async (t) => {
  using dir = new TempDir();
  for (const program of ['nbdloopd', 'nbdlosetup', 'nbdloop']) {
    writeFileSync(dir.file(program), fileOf(`completions/bash/${program}`));
  }
  writeFileSync(dir.file('disk one.img'), '');
  t.strictSame(await offered(dir, 'nbdloop', 'at'), ['attach']);
  t.strictSame(await offered(dir, 'nbdloop', 'attach', '--by', ''), ['nbd-client', 'netlink']);
  t.strictSame(await offered(dir, 'nbdloop', 'attach', 'loop1'), ['loop12']);
  t.strictSame(await offered(dir, 'nbdlosetup', '--det'), ['--detach', '--detach-all']);
  t.strictSame(await offered(dir, 'nbdlosetup', '-d', ''), ['loop0', 'loop12']);
  t.strictSame(await offered(dir, 'nbdlosetup', '--direct-io', '=', 'o'), ['on', 'off']);
  t.strictSame(await offered(dir, 'nbdlosetup', '-j', 'disk'), ['disk one.img']);
  t.strictSame(await offered(dir, 'nbdloopd', '--device', 'disk'), ['disk one.img']);
  t.strictSame(await offered(dir, 'nbdloopd', '--log-level', 'de'), ['debug']);
});

/** Writes the files of one kind; their paths. */
function written(dir: TempDir, kind: string): string[] {
  return [...files]
    .filter(([path]) => path.startsWith(kind))
    .map(([path, content]) => {
      const file = dir.file(path.replaceAll('/', '-'));
      writeFileSync(file, content);
      return file;
    });
}

t.test(
  'man and mandoc find no fault with the man pages',
  { skip: skipUnless('man', 'mandoc') },
  async (t) => {
    using dir = new TempDir();
    for (const page of written(dir, 'man/')) {
      const shown = await run(tool('man'), ['--warnings', '-l', page], { env: { MANPAGER: 'cat' } });
      t.match(shown, { status: 0, stderr: '' }, page);
      t.match(shown.stdout, /SEE ALSO/);
      t.match(await run(tool('mandoc'), ['-T', 'lint', page]), { status: 0, stdout: '', stderr: '' }, page);
    }
  },
);

for (const shell of ['bash', 'zsh', 'fish']) {
  t.test(`${shell} can read its completions`, { skip: skipUnless(shell) }, async (t) => {
    using dir = new TempDir();
    const scripts = written(dir, `completions/${shell}/`);
    t.equal(scripts.length, 3);
    for (const script of scripts) {
      t.match(await run(tool(shell), ['-n', script]), { status: 0, stdout: '', stderr: '' }, script);
    }
  });
}
