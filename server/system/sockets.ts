/**
 * System calls on sockets, pipes and the reactor's wake descriptor, through koffi.
 *
 * Memory is passed by address (a Number), results are the C library's: a count, or -1 with `errno()`.
 * All descriptors here are non-blocking.
 */
import koffi from 'koffi';

const libc = koffi.load('libc.so.6');

type Call<A extends unknown[]> = (...args: A) => number;

export const recv = libc.func('intptr_t recv(int fd, uintptr_t buffer, size_t length, int flags)') as Call<
  [fd: number, address: number, length: number, flags: number]
>;
export const send = libc.func('intptr_t send(int fd, uintptr_t buffer, size_t length, int flags)') as Call<
  [fd: number, address: number, length: number, flags: number]
>;
/** poll(2); `fds` is the address of an array of `struct pollfd`, `timeout` is milliseconds. */
export const poll = libc.func('int poll(uintptr_t fds, unsigned long count, int timeout)') as Call<
  [fds: number, count: number, timeout: number]
>;
/** ppoll(2); `time` is the address of a `struct timespec`, `mask` is 0. */
export const ppoll = libc.func(
  'int ppoll(uintptr_t fds, unsigned long count, uintptr_t time, uintptr_t mask)',
) as Call<[fds: number, count: number, time: number, mask: number]>;
export const epollCreate = (): number => epollCreateRaw(O_CLOEXEC);
const epollCreateRaw = libc.func('int epoll_create1(int flags)') as Call<[flags: number]>;
/** epoll_ctl(2); `event` is the address of a `struct epoll_event`. */
export const epollControl = libc.func(
  'int epoll_ctl(int epoll, int operation, int fd, uintptr_t event)',
) as Call<[epoll: number, operation: number, fd: number, event: number]>;
/** epoll_wait(2); `events` is the address of `most` of them, `timeout` is milliseconds. */
export const epollWait = libc.func(
  'int epoll_wait(int epoll, uintptr_t events, int most, int timeout)',
) as Call<[epoll: number, events: number, most: number, timeout: number]>;
const prctl = libc.func(
  'int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)',
) as Call<[option: number, a: number, b: number, c: number, d: number]>;
/** splice(2) without offsets: between a pipe and a socket. */
export const splice = libc.func(
  'intptr_t splice(int from, uintptr_t offIn, int to, uintptr_t offOut, size_t length, unsigned int flags)',
) as Call<[from: number, offIn: number, to: number, offOut: number, length: number, flags: number]>;
export const read = libc.func('intptr_t read(int fd, uintptr_t buffer, size_t length)') as Call<
  [fd: number, address: number, length: number]
>;
export const write = libc.func('intptr_t write(int fd, uintptr_t buffer, size_t length)') as Call<
  [fd: number, address: number, length: number]
>;
export const close = libc.func('int close(int fd)') as Call<[fd: number]>;
export const shutdown = libc.func('int shutdown(int fd, int how)') as Call<[fd: number, how: number]>;
export const schedYield = libc.func('int sched_yield()') as Call<[]>;
/** fcntl(2) with an integer argument. */
const fcntl = libc.func('int fcntl(int fd, int command, ...)') as Call<
  [fd: number, command: number, type: 'int', value: number]
>;
const setsockoptRaw = libc.func(
  'int setsockopt(int fd, int level, int name, uintptr_t value, unsigned int length)',
) as Call<[fd: number, level: number, name: number, value: number, length: number]>;
const pipe2Raw = libc.func('int pipe2(uintptr_t fds, int flags)') as Call<[fds: number, flags: number]>;
const eventfdRaw = libc.func('int eventfd(unsigned int initial, int flags)') as Call<
  [initial: number, flags: number]
>;

const memcmp = libc.func('int memcmp(uintptr_t a, uintptr_t b, size_t length)') as Call<
  [a: number, b: number, length: number]
>;

/** errno of the last call on this thread. */
export const errno = (): number => koffi.errno();

/** Address of memory that the kernel may use as long as the buffer is referenced. */
export const addressOf = (memory: ArrayBuffer | ArrayBufferView): number => Number(koffi.address(memory));

export const MSG_DONTWAIT = 0x40;
export const MSG_NOSIGNAL = 0x4000;
export const MSG_MORE = 0x8000;
export const SPLICE_F_MOVE = 1;
export const SPLICE_F_NONBLOCK = 2;
export const SPLICE_F_MORE = 4;

export const POLLIN = 1;
export const POLLOUT = 4;

const MSG_PEEK = 2;
const O_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;
const F_DUPFD_CLOEXEC = 1030;
const F_SETPIPE_SZ = 1031;
const SOL_SOCKET = 1;
const SO_SNDBUF = 7;
const SO_SNDBUFFORCE = 32;
const PR_SET_TIMERSLACK = 29;

const words = new Int32Array(2);
const wordsAddress = addressOf(words);

/** There is something to receive. */
export const hasInput = (fd: number): boolean => recv(fd, wordsAddress, 1, MSG_DONTWAIT | MSG_PEEK) > 0;

/** Has timers of this thread fire when they are due, rather than up to 50 microseconds later. */
export const keepTime = (): number => prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);

/** All of these bytes, at least one, are 0. Data is told from zeroes at its first byte that is none. */
export function areZeroes(address: number, length: number): boolean {
  words[0] = 0;
  return memcmp(address, wordsAddress, 1) === 0 && memcmp(address, address + 1, length - 1) === 0;
}

/** A duplicate that is closed on exec, or -1. */
export const duplicate = (fd: number): number => fcntl(fd, F_DUPFD_CLOEXEC, 'int', 3);

/** An eventfd, or -1: 8-byte writes add to it, a read takes all of it. */
export const eventfd = (): number => eventfdRaw(0, O_NONBLOCK | O_CLOEXEC);

export interface Pipe {
  readonly readEnd: number;
  readonly writeEnd: number;
  /** Bytes it holds when every page is full. */
  readonly capacity: number;
}

/** A pipe of the wanted capacity in bytes, or of what the system grants; undefined if none can be made. */
export function openPipe(capacity: number): Pipe | undefined {
  if (pipe2Raw(wordsAddress, O_NONBLOCK | O_CLOEXEC) < 0) return undefined;
  const [readEnd = -1, writeEnd = -1] = words;
  const granted = fcntl(writeEnd, F_SETPIPE_SZ, 'int', capacity);
  return { readEnd, writeEnd, capacity: granted > 0 ? granted : 65536 };
}

export function closePipe(pipe: Pipe): void {
  close(pipe.readEnd);
  close(pipe.writeEnd);
}

/** Asks for a send buffer of `bytes`, past the system's limit where we may. Best effort. */
export function setSendBuffer(fd: number, bytes: number): void {
  words[0] = bytes;
  if (setsockoptRaw(fd, SOL_SOCKET, SO_SNDBUFFORCE, wordsAddress, 4) < 0) {
    setsockoptRaw(fd, SOL_SOCKET, SO_SNDBUF, wordsAddress, 4);
  }
}
