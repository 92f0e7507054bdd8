/**
 * System calls of the kernel side, through koffi: netlink sockets, socketpairs, poll. Memory is passed by address,
 * results are the C library's: a count or a descriptor, or -1 with `errno()`.
 */
import koffi from 'koffi';

const libc = koffi.load('libc.so.6');

type Call<A extends unknown[]> = (...args: A) => number;

const socketCall = libc.func('int socket(int domain, int type, int protocol)') as Call<
  [domain: number, type: number, protocol: number]
>;
const bindCall = libc.func('int bind(int fd, const void *address, unsigned int length)') as Call<
  [fd: number, address: Buffer, length: number]
>;
const setsockoptCall = libc.func(
  'int setsockopt(int fd, int level, int name, const void *value, unsigned int length)',
) as Call<[fd: number, level: number, name: number, value: Buffer, length: number]>;
const shutdownCall = libc.func('int shutdown(int fd, int how)') as Call<[fd: number, how: number]>;
const socketpairCall = libc.func('int socketpair(int domain, int type, int protocol, void *fds)') as Call<
  [domain: number, type: number, protocol: number, fds: Buffer]
>;
const sendCall = libc.func('intptr_t send(int fd, const void *bytes, size_t length, int flags)') as Call<
  [fd: number, bytes: Buffer, length: number, flags: number]
>;
const recvCall = libc.func('intptr_t recv(int fd, void *bytes, size_t length, int flags)') as Call<
  [fd: number, bytes: Buffer, length: number, flags: number]
>;
const pollCall = libc.func('int poll(void *fds, unsigned long count, int timeout)') as Call<
  [fds: Buffer, count: number, timeout: number]
>;
const fcntlCall = libc.func('int fcntl(int fd, int command, ...)') as Call<
  [fd: number, command: number, type: 'int', value: number]
>;
const eventfdCall = libc.func('int eventfd(unsigned int initial, int flags)') as Call<
  [initial: number, flags: number]
>;
const eventfdWriteCall = libc.func('int eventfd_write(int fd, uint64_t value)') as Call<
  [fd: number, value: number]
>;
const eventfdReadCall = libc.func('int eventfd_read(int fd, void *value)') as Call<
  [fd: number, value: Buffer]
>;

export const closeDescriptor = libc.func('int close(int fd)') as Call<[fd: number]>;
/** errno of the last call on this thread. */
export const errno = (): number => koffi.errno();

const AF_UNIX = 1;
const AF_NETLINK = 16;
const SOCK_STREAM = 1;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const NETLINK_GENERIC = 16;
const SOL_NETLINK = 270;
const SOL_SOCKET = 1;
const SO_SNDBUFFORCE = 32;
const NETLINK_ADD_MEMBERSHIP = 1;
const EFD_NONBLOCK = 0o4000;
const EFD_CLOEXEC = 0o2000000;
const F_SETFL = 4;
const F_DUPFD_CLOEXEC = 1030;
const SHUT_RDWR = 2;
const O_NONBLOCK = 0o4000;
/** struct sockaddr_nl: family, padding, port (0: the kernel chooses), groups. */
const NETLINK_ADDRESS_BYTES = 12;

/** A generic netlink socket, or -1. */
export function netlinkSocket(): number {
  const fd = socketCall(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);
  if (fd < 0) return -1;
  const address = Buffer.alloc(NETLINK_ADDRESS_BYTES);
  new Uint16Array(address.buffer, address.byteOffset, 1)[0] = AF_NETLINK;
  if (bindCall(fd, address, address.length) === 0) return fd;
  closeDescriptor(fd);
  return -1;
}

/** Joins a multicast group. 0, or -1. */
export function joinGroup(fd: number, group: number): number {
  const value = Buffer.alloc(4);
  new Uint32Array(value.buffer, value.byteOffset, 1)[0] = group;
  return setsockoptCall(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, value, value.length);
}

export const sendAll = (fd: number, bytes: Buffer): number => sendCall(fd, bytes, bytes.length, 0);
export const receive = (fd: number, into: Buffer): number => recvCall(fd, into, into.length, 0);

/**
 * Bytes that a kernel may have sent before we took them, several requests of the largest kind: with the default of 208 KiB it sleeps in
 * the middle of the second WRITE of 128 KiB, and is woken for each piece.
 */
const KERNELS_SEND_BUFFER = 4 << 20;

/** A pair of connected stream sockets: the first is non-blocking, for a reactor; the second is for the kernel. */
export function socketPair(): { ours: number; kernels: number } | undefined {
  const fds = Buffer.alloc(8);
  if (socketpairCall(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0) return undefined;
  const [ours = -1, kernels = -1] = new Int32Array(fds.buffer, fds.byteOffset, 2);
  fcntlCall(ours, F_SETFL, 'int', O_NONBLOCK);
  // Best effort: past the system's limit only with CAP_NET_ADMIN.
  setOption(kernels, SOL_SOCKET, SO_SNDBUFFORCE, KERNELS_SEND_BUFFER);
  return { ours, kernels };
}

/** Another descriptor of the same socket, closed on exec; -1 when there is none to be had. */
export const duplicate = (fd: number): number => fcntlCall(fd, F_DUPFD_CLOEXEC, 'int', 3);
/** Ends a connection whoever has descriptors of it, the kernel too. */
export const hangUp = (fd: number): number => shutdownCall(fd, SHUT_RDWR);

/** setsockopt(2) with an integer. 0, or -1. */
export function setOption(fd: number, level: number, name: number, value: number): number {
  const bytes = Buffer.alloc(4);
  new Int32Array(bytes.buffer, bytes.byteOffset, 1)[0] = value;
  return setsockoptCall(fd, level, name, bytes, bytes.length);
}

/** A descriptor that one thread sets and another waits for; -1 when there is none to be had. */
export const wakeDescriptor = (): number => eventfdCall(0, EFD_NONBLOCK | EFD_CLOEXEC);
export const wake = (fd: number): number => eventfdWriteCall(fd, 1);
export const answerWake = (fd: number): number => eventfdReadCall(fd, Buffer.alloc(8));

export const POLLIN = 1;
export const POLLPRI = 2;
/** The peer of a stream socket has closed it, or sends no more. */
const POLLRDHUP = 0x2000;
const POLLFD_BYTES = 8;

/** Waits until one of the descriptors has one of its events, or an error. True for each that has. */
export function waitFor(descriptors: readonly { readonly fd: number; readonly events: number }[]): boolean[] {
  return pollFor(descriptors, -1);
}

/** True when the other end of a stream socket was closed or shut down. */
export const isHungUp = (fd: number): boolean => pollFor([{ fd, events: POLLRDHUP }], 0)[0] === true;

/** `timeout`: milliseconds, or -1 for no limit. */
function pollFor(
  descriptors: readonly { readonly fd: number; readonly events: number }[],
  timeout: number,
): boolean[] {
  const entries = Buffer.alloc(POLLFD_BYTES * descriptors.length);
  const view = new DataView(entries.buffer, entries.byteOffset, entries.length);
  descriptors.forEach(({ fd, events }, i) => {
    new Int32Array(entries.buffer, entries.byteOffset + i * POLLFD_BYTES, 1)[0] = fd;
    new Int16Array(entries.buffer, entries.byteOffset + i * POLLFD_BYTES + 4, 1)[0] = events;
  });
  pollCall(entries, descriptors.length, timeout);
  return descriptors.map((_, i) => view.getInt16(i * POLLFD_BYTES + 6) !== 0);
}
