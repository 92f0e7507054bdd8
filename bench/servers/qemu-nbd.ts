import { Daemon, versionLine } from '../system/process.js';
import {
  EXPORT,
  freePort,
  type RunningServer,
  type Server,
  type Site,
  serving,
  socketPath,
} from './server.js';

/** `threads` is its default, a pool; `io_uring` does without the pool. */
type Aio = 'threads' | 'io_uring';

const start = async (site: Site, aio: Aio): Promise<RunningServer> => {
  const { transport, tls, direct } = site.setup;
  const port = transport === 'tcp' ? await freePort() : 0;
  const where = transport === 'tcp' ? ['-b', '127.0.0.1', '-p', String(port)] : ['-k', socketPath(site)];
  const credentials = `tls-creds-x509,id=tls0,endpoint=server,verify-peer=off,dir=${site.certificates}`;
  const security = tls ? ['--object', credentials, '--tls-creds', 'tls0'] : [];
  // The image is shared with the other servers of the run, so its locks must be off.
  const file = `file.driver=file,file.filename=${site.image},file.locking=off,file.aio=${aio}`;
  const image = `driver=raw,${file}${direct ? ',file.cache.direct=on' : ''}`;
  const args = ['--persistent', '--shared=16', '-x', EXPORT, ...where, ...security, '--image-opts', image];
  return serving(await Daemon.start('qemu-nbd', args), site, port);
};

const version = (): Promise<string | undefined> => versionLine('qemu-nbd', ['--version']);

export const qemuNbdUring: Server = {
  name: 'qemu-nbd-uring',
  role: 'peer',
  version,
  supports: () => true,
  start: (site) => start(site, 'io_uring'),
};

export const qemuNbdThreads: Server = {
  name: 'qemu-nbd-threads',
  role: 'peer',
  version,
  supports: () => true,
  start: (site) => start(site, 'threads'),
};
