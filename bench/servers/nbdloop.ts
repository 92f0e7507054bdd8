import { existsSync } from 'node:fs';
import { request } from 'node:http';
import { fileURLToPath } from 'node:url';
import { Daemon } from '../system/process.js';
import { freePort, type Server, type Site, serving, socketPath } from './server.js';

/** The daemon as compiled beside this file. */
const PROGRAM = fileURLToPath(new URL('../../driver/cli/nbdloopd.js', import.meta.url));

/** Arguments that make it serve the site's image as loop0, and nothing else. */
export const daemonArguments = (site: Site, port: number): string[] => {
  const { transport, tls } = site.setup;
  const directory = site.directory;
  const certificates = site.certificates;
  return [
    PROGRAM,
    ...['--control', controlPath(site), '--state-dir', `${directory}/state`, '--device', site.image],
    ...(transport === 'tcp'
      ? ['--listen', `127.0.0.1:${port}`, '--unix', `${directory}/unused.sock`]
      : ['--listen', 'none', '--unix', socketPath(site)]),
    ...(tls
      ? ['--tls-cert', `${certificates}/server-cert.pem`, '--tls-key', `${certificates}/server-key.pem`]
      : []),
    ...(tls ? ['--tls-require'] : []),
    ...['--log-level', 'error'],
  ];
};

const controlPath = (site: Site): string => `${site.directory}/control.sock`;

/** loopSetDio through the control API. */
const setDirect = (control: string, on: boolean): Promise<void> =>
  new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json' };
    const call = request(
      { socketPath: control, method: 'PUT', path: '/devices/0/direct-io', headers },
      (answer) => {
        let body = '';
        answer.setEncoding('utf8').on('data', (text: string) => {
          body += text;
        });
        answer.on('end', () => {
          const ok = (answer.statusCode ?? 500) < 300;
          if (ok) resolve();
          else reject(new Error(`direct I/O cannot be turned ${on ? 'on' : 'off'}: ${body}`));
        });
      },
    );
    call.on('error', reject).end(JSON.stringify({ on }));
  });

export const nbdloop: Server = {
  name: 'nbdloop',
  role: 'ours',
  version: () => Promise.resolve(existsSync(PROGRAM) ? `this tree, Node ${process.version}` : undefined),
  supports: () => true,
  async start(site) {
    const port = site.setup.transport === 'tcp' ? await freePort() : 0;
    const daemon = await Daemon.start(process.execPath, daemonArguments(site, port));
    const server = await serving(daemon, site, port);
    const toggleDirect = (on: boolean) => setDirect(controlPath(site), on);
    try {
      if (site.setup.direct) await toggleDirect(true);
    } catch (error) {
      await server.stop();
      throw error;
    }
    return { ...server, toggleDirect };
  },
};
