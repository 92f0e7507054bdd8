import { Daemon, versionLine } from '../system/process.js';
import { freePort, type Server, serving, socketPath } from './server.js';

/** nbdkit with its file plugin and its default of 16 threads. Debian 12's file plugin has no O_DIRECT. */
export const nbdkit: Server = {
  name: 'nbdkit',
  role: 'peer',
  version: () => versionLine('nbdkit', ['--version']),
  supports: (setup) => !setup.direct,
  async start(site) {
    const { transport, tls } = site.setup;
    const port = transport === 'tcp' ? await freePort() : 0;
    const where = transport === 'tcp' ? ['-i', '127.0.0.1', '-p', String(port)] : ['-U', socketPath(site)];
    const security = tls ? ['--tls=require', `--tls-certificates=${site.certificates}`] : ['--tls=off'];
    const args = ['--foreground', ...where, ...security, 'file', `file=${site.image}`];
    return serving(await Daemon.start('nbdkit', args), site, port);
  },
};
