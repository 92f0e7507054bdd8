/*
 * The floor: about the least that a server of the NBD protocol can cost, to measure others by.
 *
 *     floor null BYTES unix PATH | floor null BYTES tcp PORT
 *     floor file PATH unix PATH  | floor file PATH tcp PORT
 *
 * `null` answers READs from memory and throws WRITEs away: what the protocol, the sockets and the client cost. `file`
 * serves a file by pread(2) and pwrite(2), and fdatasync(2). A thread a connection, fixed newstyle, simple replies; one
 * recv takes all requests that there are, one send all their replies. It trusts its client: not for anything else.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { GO = 7, EXPORT_NAME = 1, ABORT = 2, LIST = 3, INFO = 6 };
enum { READ = 0, WRITE = 1, DISC = 2, FLUSH = 3, FUA = 1 };
/* HAS_FLAGS, SEND_FLUSH, SEND_FUA, CAN_MULTI_CONN */
static const uint16_t FLAGS = 1 | 4 | 8 | 256;
static const size_t IN = 1 << 20, OUT = 2 << 20, MOST = 32 << 20;

static int file = -1;
static uint64_t size;

static int get(int fd, void *at, size_t length) {
  for (char *to = at; length > 0;) {
    ssize_t n = recv(fd, to, length, 0);
    if (n <= 0) return -1;
    to += n;
    length -= n;
  }
  return 0;
}

static int put(int fd, const void *at, size_t length) {
  for (const char *from = at; length > 0;) {
    ssize_t n = send(fd, from, length, MSG_NOSIGNAL);
    if (n <= 0) return -1;
    from += n;
    length -= n;
  }
  return 0;
}

static int answer(int fd, uint32_t option, uint32_t type, const void *data, uint32_t length) {
  struct __attribute__((packed)) { uint64_t magic; uint32_t option, type, length; } head = {
    htobe64(0x3e889045565a9), htobe32(option), htobe32(type), htobe32(length) };
  return put(fd, &head, sizeof head) || (length > 0 && put(fd, data, length)) ? -1 : 0;
}

/* 0: the transmission phase is next. */
static int negotiate(int fd) {
  struct __attribute__((packed)) { uint64_t magic, ihaveopt; uint16_t flags; } hello = {
    htobe64(0x4e42444d41474943), htobe64(0x49484156454F5054), htobe16(3) };
  uint32_t flags;
  if (put(fd, &hello, sizeof hello) || get(fd, &flags, 4)) return -1;
  for (;;) {
    struct __attribute__((packed)) { uint64_t magic; uint32_t option, length; } ask;
    char data[65536];
    if (get(fd, &ask, sizeof ask)) return -1;
    uint32_t option = be32toh(ask.option), length = be32toh(ask.length);
    if (length > sizeof data || get(fd, data, length)) return -1;
    struct __attribute__((packed)) { uint64_t size; uint16_t flags; char zeroes[124]; } old = {
      htobe64(size), htobe16(FLAGS), {0} };
    struct __attribute__((packed)) { uint16_t type; uint64_t size; uint16_t flags; } info = {
      0, htobe64(size), htobe16(FLAGS) };
    if (option == EXPORT_NAME) return put(fd, &old, be32toh(flags) & 2 ? 10 : sizeof old);
    if (option == ABORT) return answer(fd, option, 1, NULL, 0), -1;
    if (option == GO || option == INFO) {
      if (answer(fd, option, 3, &info, sizeof info) || answer(fd, option, 1, NULL, 0)) return -1;
      if (option == GO) return 0;
    } else if (answer(fd, option, (1u << 31) + 1, NULL, 0)) {
      return -1;
    }
  }
}

struct __attribute__((packed)) request { uint32_t magic; uint16_t flags, type; uint64_t cookie, offset; uint32_t length; };
struct __attribute__((packed)) reply { uint32_t magic, error; uint64_t cookie; };

static uint32_t carry_out(const struct request *ask, char *data) {
  uint32_t length = be32toh(ask->length);
  uint64_t offset = be64toh(ask->offset);
  if (offset + length > size) return EINVAL;
  if (file < 0) return 0;
  switch (be16toh(ask->type)) {
  case READ: return pread(file, data, length, offset) == (ssize_t)length ? 0 : EIO;
  case WRITE:
    if (pwrite(file, data, length, offset) != (ssize_t)length) return EIO;
    return be16toh(ask->flags) & FUA && fdatasync(file) ? EIO : 0;
  case FLUSH: return fdatasync(file) ? EIO : 0;
  default: return EINVAL;
  }
}

static void serve(int fd) {
  char *in = malloc(IN + MOST), *out = calloc(1, OUT + MOST);
  size_t have = 0, filled = 0;
  for (;;) {
    ssize_t n = recv(fd, in + have, IN, 0);
    if (n <= 0) break;
    have += n;
    size_t at = 0;
    while (have - at >= sizeof(struct request)) {
      struct request ask;
      memcpy(&ask, in + at, sizeof ask);
      uint16_t type = be16toh(ask.type);
      uint32_t length = be32toh(ask.length);
      if (be32toh(ask.magic) != 0x25609513 || type == DISC || length > MOST) goto over;
      size_t whole = sizeof ask + (type == WRITE ? length : 0);
      if (have - at < whole) {
        /* The rest of a payload, and nothing behind it. */
        memmove(in, in + at, have - at);
        have -= at;
        at = 0;
        if (filled > 0 && put(fd, out, filled)) goto over;
        filled = 0;
        if (get(fd, in + have, whole - have)) goto over;
        have = whole;
      }
      struct reply *reply = (struct reply *)(out + filled);
      char *data = type == READ ? out + filled + sizeof *reply : in + at + sizeof ask;
      uint32_t error = carry_out(&ask, data);
      *reply = (struct reply){ htobe32(0x67446698), htobe32(error), ask.cookie };
      filled += sizeof *reply + (type == READ && error == 0 ? length : 0);
      at += whole;
      if (filled >= (128 << 10)) {
        if (put(fd, out, filled)) goto over;
        filled = 0;
      }
    }
    memmove(in, in + at, have - at);
    have -= at;
    if (filled > 0 && put(fd, out, filled)) break;
    filled = 0;
  }
over:
  free(in);
  free(out);
}

static void *connection(void *argument) {
  int fd = (int)(intptr_t)argument, on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (negotiate(fd) == 0) serve(fd);
  close(fd);
  return NULL;
}

static int listen_at(const char *kind, const char *where) {
  int on = 1, fd;
  if (strcmp(kind, "tcp") == 0) {
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(atoi(where)),
      .sin_addr = { htonl(INADDR_LOOPBACK) } };
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&address, sizeof address)) return -1;
  } else {
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    snprintf(address.sun_path, sizeof address.sun_path, "%s", where);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(fd, (struct sockaddr *)&address, sizeof address)) return -1;
  }
  return listen(fd, 64) ? -1 : fd;
}

int main(int count, char **words) {
  if (count != 5) return fprintf(stderr, "usage: floor null|file BYTES|PATH unix|tcp PATH|PORT\n"), 2;
  signal(SIGPIPE, SIG_IGN);
  if (strcmp(words[1], "file") == 0) {
    struct stat status;
    file = open(words[2], O_RDWR | O_CLOEXEC);
    if (file < 0 || fstat(file, &status)) return perror(words[2]), 1;
    size = status.st_size;
  } else {
    size = strtoull(words[2], NULL, 10);
  }
  int listener = listen_at(words[3], words[4]);
  if (listener < 0) return perror(words[4]), 1;
  for (;;) {
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    pthread_t thread;
    if (fd >= 0 && pthread_create(&thread, NULL, connection, (void *)(intptr_t)fd) == 0) pthread_detach(thread);
  }
}
