/** A listening socket on an address that no interface has yet: IP_FREEBIND of ip(7), IPV6_FREEBIND of linux/in6.h. */

import { isIPv4, SocketAddress } from 'node:net';
import koffi from 'koffi';
import { errnoName, LoopError } from '../errno.js';

const libc = koffi.load('libc.so.6');
type Call<A extends unknown[]> = (...args: A) => number;
const socket = libc.func('int socket(int family, int type, int protocol)') as Call<[number, number, number]>;
const setsockopt = libc.func(
  'int setsockopt(int fd, int level, int name, const uint8_t *value, uint32_t length)',
) as Call<[number, number, number, Buffer, number]>;
const bind = libc.func('int bind(int fd, const uint8_t *address, uint32_t length)') as Call<
  [number, Buffer, number]
>;
const close = libc.func('int close(int fd)') as Call<[number]>;

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_STREAM = 1;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SOL_IP = 0;
const IP_FREEBIND = 15;
const SOL_IPV6 = 41;
const IPV6_FREEBIND = 78;

/**
 * A TCP socket bound to `address`, an IPv4 or IPv6 address without a zone, whether or not this machine has it; not
 * listening yet. The descriptor is the caller's. Throws the errno of socket(2) or bind(2).
 */
export function bindFreely(address: string, port: number): number {
  const isV4 = isIPv4(address);
  const fd = socket(isV4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) throw failure(address, port);
  const on = Buffer.alloc(4);
  on.writeInt32LE(1);
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, on, on.length);
  if (isV4) setsockopt(fd, SOL_IP, IP_FREEBIND, on, on.length);
  else setsockopt(fd, SOL_IPV6, IPV6_FREEBIND, on, on.length);
  const where = isV4 ? ipv4Address(address, port) : ipv6Address(address, port);
  if (bind(fd, where, where.length) === 0) return fd;
  const error = failure(address, port);
  close(fd);
  throw error;
}

function failure(address: string, port: number): LoopError {
  const errno = errnoName(koffi.errno());
  return new LoopError(errno, `${address}:${port} cannot be bound (${errno})`);
}

/** struct sockaddr_in: family in host byte order, port and address in the network's. */
function ipv4Address(address: string, port: number): Buffer {
  const bytes = Buffer.alloc(16);
  bytes.writeUInt16LE(AF_INET, 0);
  bytes.writeUInt16BE(port, 2);
  for (const [at, part] of address.split('.').entries()) bytes[4 + at] = Number(part);
  return bytes;
}

/** struct sockaddr_in6: family, port, flow, address, scope. */
function ipv6Address(address: string, port: number): Buffer {
  const bytes = Buffer.alloc(28);
  bytes.writeUInt16LE(AF_INET6, 0);
  bytes.writeUInt16BE(port, 2);
  for (const [at, group] of groupsOf(address).entries()) bytes.writeUInt16BE(group, 8 + 2 * at);
  return bytes;
}

/** Eight groups of 16 bits: what `::` leaves out is zero. */
function groupsOf(address: string): number[] {
  // Written in full hexadecimal, an address that ends in IPv4 too.
  const plain = new URL(`tcp://[${new SocketAddress({ address, family: 'ipv6' }).address}]`).hostname.slice(
    1,
    -1,
  );
  const [head = '', tail] = plain.split('::');
  const front = head === '' ? [] : head.split(':');
  const back = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeroes = tail === undefined ? [] : new Array<string>(8 - front.length - back.length).fill('0');
  return [...front, ...zeroes, ...back].map((group) => Number.parseInt(group, 16));
}
