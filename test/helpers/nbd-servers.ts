/** NBD servers that nobody here wrote, each serving one file, for tests of a client. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { type Pair, selfSigned, signedBy } from './certificates.js';
import { freePort } from './daemon.js';
import { type RunningProcess, start } from './process.js';
import type { TempDir } from './temp.js';
import { tool } from './tools.js';
import { until } from './until.js';

/** Certificates and keys in the places where GnuTLS's users look for them. */
export interface ServerKeys {
  readonly authority: Pair;
  readonly server: Pair;
  readonly client: Pair;
  /** ca-cert.pem, server-cert.pem, server-key.pem. */
  readonly directory: string;
  /** keys.psk. */
  readonly pskDirectory: string;
  readonly psk: string;
}

export async function serverKeys(dir: TempDir, user: string): Promise<ServerKeys> {
  const authority = await selfSigned(dir, 'ca');
  const server = await signedBy(dir, authority, 'server');
  const client = await signedBy(dir, authority, 'client');
  const pskDirectory = dir.file('psk');
  mkdirSync(pskDirectory);
  const psk = `${pskDirectory}/keys.psk`;
  writeFileSync(psk, `${user}:${'0123456789abcdef'.repeat(4)}\n`);
  return { authority, server, client, directory: dir.path, pskDirectory, psk };
}

export type Security = 'plain' | 'certificates' | 'psk';
export type Transport = 'unix' | 'tcp';

export interface ServerWish {
  readonly image: string;
  readonly exportName: string;
  readonly transport: Transport;
  readonly security: Security;
  readonly keys: ServerKeys;
}

export interface StartedServer extends AsyncDisposable {
  readonly process: RunningProcess;
  /** Without TLS parameters. */
  readonly uri: string;
}

type Place = { readonly socket: string; readonly port: number };

const NBDKIT_TLS = {
  plain: (): string[] => [],
  certificates: ({ directory }: ServerKeys): string[] => [`--tls-certificates=${directory}`, '--tls=require'],
  psk: ({ psk }: ServerKeys): string[] => [`--tls-psk=${psk}`, '--tls=require'],
};
const QEMU_TLS = {
  plain: (): string[] => [],
  certificates: ({ directory }: ServerKeys): string[] => [
    ...[
      '--object',
      `tls-creds-x509,id=t,endpoint=server,dir=${directory},verify-peer=on`,
      '--tls-creds',
      't',
    ],
  ],
  psk: ({ pskDirectory }: ServerKeys): string[] => [
    ...['--object', `tls-creds-psk,id=t,endpoint=server,dir=${pskDirectory}`, '--tls-creds', 't'],
  ],
};

/** Command lines, by program. */
export const COMMANDS = {
  nbdkit: ({ image, exportName, transport, security, keys }: ServerWish, { socket, port }: Place) => [
    ...['-f', '-e', exportName, ...NBDKIT_TLS[security](keys)],
    ...(transport === 'unix' ? ['-U', socket] : ['-i', '127.0.0.1', '-p', String(port)]),
    ...['file', image],
  ],
  'qemu-nbd': ({ image, exportName, transport, security, keys }: ServerWish, { socket, port }: Place) => [
    ...['-f', 'raw', '-t', '-e', '8', '-x', exportName, ...QEMU_TLS[security](keys)],
    ...(transport === 'unix' ? ['-k', socket] : ['-b', '127.0.0.1', '-p', String(port)]),
    image,
  ],
  'nbd-server': ({ image, exportName, transport, security, keys }: ServerWish, { socket, port }: Place) => {
    const { authority, server } = keys;
    const tls = [`certfile=${server.cert}`, `keyfile=${server.key}`, `cacertfile=${authority.cert}`];
    const config = `${socket}.conf`;
    const lines = [
      '[generic]',
      ...(transport === 'unix' ? [`unixsock=${socket}`] : ['listenaddr=127.0.0.1']),
      `port=${port}`,
      ...(security === 'certificates' ? [...tls, 'force_tls=true'] : []),
      `[${exportName}]`,
      `exportname=${image}`,
      'flush=true',
      '',
    ];
    writeFileSync(config, lines.join('\n'));
    return ['-C', config, '-p', pidFile(socket)];
  },
} as const;

/** Without a fork nbd-server serves one client and ends: it is left to become a daemon. */
const pidFile = (socket: string): string => `${socket}.pid`;

function killDaemon(file: string): void {
  const pid = Number(readFileSync(file, 'latin1'));
  // With the processes that serve its clients.
  if (pid > 1) process.kill(-pid, 'SIGKILL');
}

/** Serves until it is disposed of. */
export async function startServer(
  program: keyof typeof COMMANDS,
  dir: TempDir,
  wish: ServerWish,
): Promise<StartedServer> {
  const port = await freePort();
  const socket = dir.file(`${program}-${port}.sock`);
  const args = COMMANDS[program](wish, { socket, port });
  // The shell stays, or the end of what was started would end the daemon that it made of itself.
  const words =
    program === 'nbd-server'
      ? [tool('sh'), '-c', '"$@"; exec sleep infinity', 'sh', tool(program)]
      : [tool(program)];
  const [first = '', ...rest] = [...words, ...args];
  const running = start(first, rest);
  const isUnix = wish.transport === 'unix';
  await until(`${program} listens`, () => answers(isUnix ? { path: socket } : { host: '127.0.0.1', port }));
  const scheme = `nbd${wish.security === 'plain' ? '' : 's'}${isUnix ? '+unix' : ''}`;
  const path = `/${encodeURIComponent(wish.exportName)}`;
  return {
    process: running,
    uri: `${scheme}://${isUnix ? `${path}?socket=${socket}` : `localhost:${port}${path}`}`,
    [Symbol.asyncDispose]: async () => {
      await running[Symbol.asyncDispose]();
      if (program === 'nbd-server') killDaemon(pidFile(socket));
    },
  };
}

const answers = (
  place: { readonly path: string } | { readonly host: string; readonly port: number },
): Promise<true | undefined> =>
  new Promise((resolve) => {
    const socket = connect(place);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(undefined));
  });
