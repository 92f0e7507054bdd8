/** What is written over a base that stays as it is: nbdloop's overlay, its plain device beside it, and what others have. */
import { mkdir } from 'node:fs/promises';
import { Daemon as Nbdloop } from '../../test/helpers/daemon.js';
import { TempDir } from '../../test/helpers/temp.js';
import { EXPORT, listening, type RunningServer, starting } from '../servers/server.js';
import { Daemon, run } from '../system/process.js';

export interface Contender {
  readonly name: 'overlay' | 'plain' | 'nbdkit cow' | 'qemu-nbd qcow2';
  /** Starts it with nothing written yet. `directory` is its own, on tmpfs. */
  start(base: string, directory: string): Promise<RunningServer>;
}

async function nbdloop(find: (daemon: Nbdloop) => Promise<unknown>): Promise<RunningServer> {
  const run = new TempDir();
  const daemon = await Nbdloop.start({ directory: run, args: ['--log-level', 'error'] });
  await find(daemon);
  return {
    pid: daemon.pid,
    address: `nbd+unix:///loop0?socket=${daemon.socket}`,
    stop: async () => {
      await daemon[Symbol.asyncDispose]();
      run[Symbol.dispose]();
    },
  };
}

async function other(program: string, args: readonly string[], socket: string): Promise<RunningServer> {
  const daemon = await Daemon.start(program, args);
  await listening(starting(daemon), { path: socket });
  return {
    pid: daemon.pid,
    address: `nbd+unix:///${EXPORT}?socket=${socket}`,
    stop: () => daemon.stop(),
  };
}

export const CONTENDERS: readonly Contender[] = [
  {
    name: 'overlay',
    start: (base, directory) =>
      nbdloop(({ client }) => client.find({ file: base, overlay: { delta: `${directory}/delta` } })),
  },
  {
    name: 'plain',
    start: async (base, directory) => {
      const copy = `${directory}/copy`;
      await run('cp', ['--reflink=never', base, copy], { timeout: 60_000 });
      return await nbdloop(({ client }) => client.find({ file: copy }));
    },
  },
  {
    // What is written goes to a file without a name in TMPDIR.
    name: 'nbdkit cow',
    start: (base, directory) => {
      const socket = `${directory}/sock`;
      const words = ['--foreground', '-U', socket, '--filter=cow', 'file', `file=${base}`];
      return other('env', [`TMPDIR=${directory}`, 'nbdkit', ...words], socket);
    },
  },
  {
    name: 'qemu-nbd qcow2',
    start: async (base, directory) => {
      const [socket, file] = [`${directory}/sock`, `${directory}/overlay.qcow2`];
      const made = ['create', '-q', '-f', 'qcow2', '-b', base, '-F', 'raw', file];
      await run('qemu-img', made, { timeout: 10_000 });
      // The base is shared with the other servers of the run, so its locks must be off.
      const image = `driver=qcow2,file.driver=file,file.filename=${file},backing.driver=raw,backing.file.driver=file,backing.file.filename=${base},backing.file.locking=off,file.aio=io_uring`;
      const words = ['--persistent', '--shared=16', '-x', EXPORT, '-k', socket, '--image-opts', image];
      return await other('qemu-nbd', words, socket);
    },
  },
];

let directories = 0;

/** The same, in a new directory. */
export async function fresh(contender: Contender, base: string, memory: string): Promise<RunningServer> {
  const directory = `${memory}/${++directories}`;
  await mkdir(directory);
  const server = await contender.start(base, directory);
  const stop = async (): Promise<void> => {
    await server.stop();
    await run('rm', ['-rf', directory], { timeout: 60_000 });
  };
  return { ...server, stop };
}
