/** What a service manager (systemd) hands a service, and wants to hear from it: sd_listen_fds(3), sd_notify(3). */

import koffi from 'koffi';

const libc = koffi.load('libc.so.6');
type Call<A extends unknown[]> = (...args: A) => number;
const socket = libc.func('int socket(int family, int type, int protocol)') as Call<[number, number, number]>;
const sendto = libc.func(
  'int64_t sendto(int fd, const uint8_t *data, size_t length, int flags, const uint8_t *address, uint32_t addressLength)',
) as Call<[number, Buffer, number, number, Buffer, number]>;
const getsockname = libc.func(
  'int getsockname(int fd, _Out_ uint8_t *address, _Inout_ uint32_t *length)',
) as Call<[number, Buffer, number[]]>;
const fcntl = libc.func('int fcntl(int fd, int command, ...)') as Call<[number, number, 'int', number]>;
const close = libc.func('int close(int fd)') as Call<[number]>;

const AF_UNIX = 1;
const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const F_SETFD = 2;
const FD_CLOEXEC = 1;
/** The first descriptor that is handed over (SD_LISTEN_FDS_START). */
const FIRST_FD = 3;
/** sizeof(struct sockaddr_storage). */
const ADDRESS_BYTES = 128;

type Environment = Record<string, string | undefined>;

/** A listening socket that this process was started with. */
export interface ActivatedSocket {
  readonly fd: number;
  /** FileDescriptorName= of the socket unit, else empty. */
  readonly name: string;
  readonly address: { readonly unix: string } | { readonly host: string; readonly port: number };
}

/**
 * The sockets that were handed to this very process; none where LISTEN_PID names another. The variables are
 * removed and the descriptors made close-on-exec: they are not for our children.
 */
export function takeActivatedSockets(env: Environment = process.env): ActivatedSocket[] {
  const { LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES = '' } = env;
  for (const name of ['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES']) delete env[name];
  if (LISTEN_PID !== String(process.pid) || !/^\d{1,4}$/.test(LISTEN_FDS ?? '')) return [];
  const names = LISTEN_FDNAMES.split(':');
  return Array.from({ length: Number(LISTEN_FDS) }, (_, at) => {
    const fd = FIRST_FD + at;
    fcntl(fd, F_SETFD, 'int', FD_CLOEXEC);
    return { fd, name: names[at] ?? '', address: addressOfSocket(fd) };
  });
}

/** Where a socket is bound (getsockname(2)). Throws for what is no socket, or none of a family that is served. */
export function addressOfSocket(fd: number): ActivatedSocket['address'] {
  const address = Buffer.alloc(ADDRESS_BYTES);
  const length = [ADDRESS_BYTES];
  if (getsockname(fd, address, length) !== 0) throw new Error(`descriptor ${fd} is not a socket (ENOTSOCK)`);
  const family = address.readUInt16LE(0);
  if (family === AF_UNIX) return { unix: unixPath(address.subarray(2, length[0])) };
  const port = address.readUInt16BE(2);
  if (family === AF_INET) return { host: address.subarray(4, 8).join('.'), port };
  if (family !== AF_INET6) throw new Error(`descriptor ${fd} is a socket of family ${family} (EAFNOSUPPORT)`);
  const groups = Array.from({ length: 8 }, (_, at) => address.readUInt16BE(8 + 2 * at).toString(16));
  // The URL parser knows how IPv6 addresses are shortened.
  return { host: new URL(`tcp://[${groups.join(':')}]`).hostname.slice(1, -1), port };
}

/** A path ends at its zero byte; an abstract name begins with one, written `@`. */
function unixPath(bytes: Buffer): string {
  if (bytes[0] === 0) return `@${bytes.subarray(1).toString('utf8')}`;
  const end = bytes.indexOf(0);
  return bytes.subarray(0, end < 0 ? bytes.length : end).toString('utf8');
}

/** Tells the service manager how we are; does nothing where there is none. */
export class ServiceNotifier {
  readonly #address: Buffer | undefined;
  readonly #watchdogMs: number | undefined;
  #watchdog: NodeJS.Timeout | undefined;

  /** NOTIFY_SOCKET and WATCHDOG_USEC are removed: they are not for our children. */
  constructor(env: Environment = process.env) {
    const { NOTIFY_SOCKET, WATCHDOG_PID, WATCHDOG_USEC } = env;
    for (const name of ['NOTIFY_SOCKET', 'WATCHDOG_PID', 'WATCHDOG_USEC']) delete env[name];
    this.#address = NOTIFY_SOCKET === undefined ? undefined : socketAddress(NOTIFY_SOCKET);
    const isOurs = WATCHDOG_PID === undefined || WATCHDOG_PID === String(process.pid);
    const microseconds = isOurs ? Number(WATCHDOG_USEC) : 0;
    this.#watchdogMs = microseconds > 0 ? microseconds / 1000 : undefined;
  }

  /** Serving; from here on the watchdog hears from us at half its interval, as long as the event loop turns. */
  ready(status: string): void {
    this.#send(`READY=1\nSTATUS=${status}\nMAINPID=${process.pid}`);
    if (this.#watchdogMs === undefined) return;
    this.#watchdog = setInterval(() => this.#send('WATCHDOG=1'), this.#watchdogMs / 2);
    this.#watchdog.unref();
  }

  stopping(): void {
    clearInterval(this.#watchdog);
    this.#send('STOPPING=1');
  }

  #send(message: string): void {
    if (this.#address === undefined) return;
    const fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return;
    const data = Buffer.from(message);
    // A manager that is gone has nothing to be told.
    sendto(fd, data, data.length, 0, this.#address, this.#address.length);
    close(fd);
  }
}

/** struct sockaddr_un; `@` begins an abstract name. */
function socketAddress(path: string): Buffer {
  const family = Buffer.from([AF_UNIX, 0]);
  const name = Buffer.from(path);
  if (path.startsWith('@')) name[0] = 0;
  return Buffer.concat([family, name, ...(path.startsWith('@') ? [] : [Buffer.alloc(1)])]);
}
