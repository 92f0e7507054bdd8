/** User-mode Linux guests: one CPU, the host's root through hostfs. */
import { chmodSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../helpers/process.js';
import { tool } from '../helpers/tools.js';
import type { GuestRunner } from './guest.js';
import { GuestFile, stage2, umlInit, umlReport } from './guest-scripts.js';
import { resolveModules } from './modules.js';

/** The Debian package keeps the modules of its one kernel here. */
const MODULES_ROOT = '/usr/lib/uml/modules';
const MODULES = ['loop', 'ext4'];

export const runUml: GuestRunner = async (shared, options) => {
  const release = readdirSync(MODULES_ROOT)[0];
  if (release === undefined) throw new Error(`no modules of user-mode Linux in ${MODULES_ROOT}`);
  const directory = join(MODULES_ROOT, release);
  const nbd = options.nbd ?? {};
  const modules = resolveModules(directory, nbd === false ? MODULES : [...MODULES, 'nbd']).map((path) =>
    path.endsWith('/nbd.ko') && nbd !== false
      ? `${join(directory, path)} nbds_max=${nbd.nbdsMax ?? 4} max_part=${nbd.maxPart ?? 15}`
      : join(directory, path),
  );
  const init = join(shared, 'init');
  writeFileSync(init, umlInit(shared, modules));
  chmodSync(init, 0o755);
  writeFileSync(
    join(shared, GuestFile.STAGE2),
    stage2({ shared, environment: options.environment ?? {} }, umlReport),
  );
  const ended = await run(
    tool('linux.uml'),
    [
      ...['root=/dev/root', 'rootfstype=hostfs', 'rootflags=/', 'ro', `init=${init}`, 'quiet', 'panic=-1'],
      ...[`mem=${options.memoryMiB ?? 512}M`, `uml_dir=${shared}/uml/`, `umid=guest`],
      ...['con=null', 'con0=null,fd:1', 'ssl=null'],
    ],
    {
      timeoutMs: options.timeoutMs ?? 60_000,
      // It keeps its memory in an executable file: in /dev/shm, unless TMPDIR says otherwise.
      env: { TMPDIR: undefined },
      ...(options.onConsole === undefined ? {} : { onOutput: options.onConsole }),
    },
  );
  return { ended, status: ended.status ?? undefined };
};
