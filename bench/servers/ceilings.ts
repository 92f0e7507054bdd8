/** What the same load reaches without NBD: the file itself, and the kernel's loop device on it. */
import { access, constants } from 'node:fs/promises';
import { run, versionLine } from '../system/process.js';
import type { Server } from './server.js';

const plain = { tls: false, transport: 'unix' } as const;

export const plainFile: Server = {
  name: 'file',
  role: 'ceiling',
  version: () => Promise.resolve('fio io_uring on the file'),
  supports: (setup) => setup.tls === plain.tls && setup.transport === plain.transport,
  start: (site) => Promise.resolve({ pid: undefined, address: site.image, stop: () => Promise.resolve() }),
};

export const kernelLoop: Server = {
  name: 'loop.ko',
  role: 'ceiling',
  async version() {
    try {
      await access('/dev/loop-control', constants.R_OK | constants.W_OK);
    } catch {
      return undefined;
    }
    return versionLine('losetup', ['--version']);
  },
  supports: plainFile.supports,
  async start(site) {
    const dio = `--direct-io=${site.setup.direct ? 'on' : 'off'}`;
    const device = (await run('losetup', ['--find', '--show', dio, site.image], { timeout: 10_000 })).trim();
    const stop = async () => {
      await run('losetup', ['--detach', device], { timeout: 10_000 });
    };
    return { pid: undefined, address: device, stop };
  },
};
